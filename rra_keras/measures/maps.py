"""Maps in boxes, in image coordinates."""

import numpy as np

from rra_keras.measures.boxes import whole


def upsample(maps, size):
    """Return maps `(B, h, w)` of the whole image at `(B, size, size)`, bilinearly."""
    return paste(maps, whole(len(maps)), size)


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
