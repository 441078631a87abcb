"""A sheet of photos with the boxes that were found in them, for a person to judge."""

import math

import numpy as np
from matplotlib.figure import Figure

from rra_keras.explain.focus import COLORS, outline, photo


def draw(photos, boxes, confidence, path, aspects=None, earlier=(), columns=8):
    """Draw photos in rows, each with its box and how sure the box is.

    Args:
        photos: `(N, S, S, 3)`, RGB 0…255, resized to squares.
        boxes: `(N, 4)`, `y0 x0 y1 x1` in [0, 1].
        confidence: `(N,)` in [0, 1].
        path: file to write; its ending says the format.
        aspects: `(N,)`, each photo's own width by its height; squares unless given.
        earlier: boxes of before, `(N, 4)` each: dashed.
        columns: photos in a row.
    """
    rows = math.ceil(len(photos) / columns)
    figure = Figure(figsize=(1.5 * columns, 1.65 * rows), dpi=100, layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    aspects = np.ones(len(photos)) if aspects is None else aspects
    for i, (axes, image, box, share) in enumerate(
        zip(grid.flat, photos, boxes, confidence, strict=False)
    ):
        photo(axes, np.asarray(image))
        axes.set_box_aspect(1 / aspects[i])
        for before in earlier:
            outline(axes, np.asarray(before[i]) * len(image), "white", 1, ls="--")
        outline(axes, np.asarray(box) * len(image), "white", 3)
        outline(axes, np.asarray(box) * len(image), COLORS[0], 1.5)
        axes.set_title(f"{share:.2f}", fontsize=8, pad=2)
    figure.savefig(path)
