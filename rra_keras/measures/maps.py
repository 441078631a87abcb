"""Boxes and the maps inside them, in image coordinates."""

import numpy as np

WHOLE = np.array([0.0, 0.0, 1.0, 1.0], "float32")


def edges(boxes, image_size):
    """Return boxes between pixel centers as fractions of the image from edge to edge.

    Args:
        boxes: `(…, 4)`; 0 is the center of the first pixel, 1 of the last.
        image_size: side of the image in pixels.

    Returns:
        `(…, 4)`; 0 is the first pixel's outer edge, 1 the last one's.
    """
    return (np.asarray(boxes, "float64") * (image_size - 1) + 0.5) / image_size


def areas(boxes):
    """Return the areas of boxes `(…, 4)`, `y0 x0 y1 x1`, as shares of the image."""
    y0, x0, y1, x1 = np.moveaxis(np.asarray(boxes), -1, 0)
    return np.maximum(y1 - y0, 0) * np.maximum(x1 - x0, 0)


def upsample(maps, size):
    """Return maps `(B, h, w)` of the whole image at `(B, size, size)`, bilinearly."""
    return paste(maps, np.tile([0.0, 0.0, 1.0, 1.0], (len(maps), 1)), size)


def paste(maps, boxes, size):
    """Paste maps into their boxes in the image, bilinearly; zero outside.

    Args:
        maps: `(B, h, w)`; a cell is a tile of the box.
        boxes: `(B, 4)`, `y0 x0 y1 x1` in [0, 1].
        size: side of the result in pixels, G.

    Returns:
        `(B, G, G)` float32.
    """
    y0, x0, y1, x1 = np.split(np.asarray(boxes, "float32"), 4, axis=1)  # (B, 1) each
    rows = _tiles(y0, y1, maps.shape[1], size)  # (B, G, h)
    columns = _tiles(x0, x1, maps.shape[2], size)  # (B, G, w)
    return rows @ np.asarray(maps, "float32") @ columns.transpose(0, 2, 1)


def _tiles(start, stop, cells, size):
    """Return the share of each of a map's cells in each pixel of the image, `(B, G, cells)`."""
    pixels = (np.arange(size, dtype="float32") + 0.5) / size  # (G,)
    inside = (pixels - start) / np.maximum(stop - start, 1e-6)  # (B, G) in [0, 1] within the box
    # Between the centers of two cells: both; beyond the last center: the last.
    place = np.clip(inside * cells - 0.5, 0, cells - 1)
    shares = np.maximum(1 - np.abs(place[..., None] - np.arange(cells)), 0)
    return (shares * ((inside >= 0) & (inside <= 1))[..., None]).astype("float32")
