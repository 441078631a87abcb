"""A sheet of photos with the boxes that were found in them, for a person to judge."""

import math

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

COLOR = "#E69F00"


def draw(photos, boxes, confidence, path, columns=8):
    """Draw photos in rows, each with its box and how sure the box is.

    Args:
        photos: `(N, S, S, 3)`, RGB 0…255.
        boxes: `(N, 4)`, `y0 x0 y1 x1` in [0, 1].
        confidence: `(N,)` in [0, 1].
        path: file to write; its ending says the format.
        columns: photos in a row.
    """
    rows = math.ceil(len(photos) / columns)
    figure = Figure(figsize=(1.5 * columns, 1.65 * rows), dpi=100, layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for axes, photo, (y0, x0, y1, x1), share in zip(
        grid.flat, photos, boxes, confidence, strict=False
    ):
        height, width = photo.shape[:2]
        axes.imshow(np.asarray(photo).clip(0, 255).astype("uint8"))
        place = (x0 * width, y0 * height), (x1 - x0) * width, (y1 - y0) * height
        axes.add_patch(Rectangle(*place, fill=False, ec="white", lw=3))
        axes.add_patch(Rectangle(*place, fill=False, ec=COLOR, lw=1.5))
        axes.set_title(f"{share:.2f}", fontsize=8, pad=2)
    figure.savefig(path)
