"""Boxes as arrays: `y0 x0 y1 x1`, fractions of the photo."""

import numpy as np

WHOLE = np.array([0.0, 0.0, 1.0, 1.0], "float32")


def whole(count):
    """Return the box of the whole photo, so many times: `(count, 4)` float32."""
    return np.tile(WHOLE, (count, 1))


def areas(boxes):
    """Return the areas of boxes `(…, 4)`, as shares of the photo."""
    y0, x0, y1, x1 = np.moveaxis(np.asarray(boxes), -1, 0)
    return np.maximum(y1 - y0, 0) * np.maximum(x1 - x0, 0)


def intersection_over_union(boxes, others):
    """Return the overlap of boxes `(…, 4)` with `others` `(…, 4)`, in [0, 1]."""
    boxes, others = np.asarray(boxes, "float64"), np.asarray(others, "float64")
    corners = (
        np.maximum(boxes[..., :2], others[..., :2]),
        np.minimum(boxes[..., 2:], others[..., 2:]),
    )
    shared = areas(np.concatenate(corners, axis=-1))
    return shared / np.maximum(areas(boxes) + areas(others) - shared, 1e-12)
