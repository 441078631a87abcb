"""The shape of crops, from the shape of what is in them."""

import math

import numpy as np

MULTIPLE = 32  # pixels: what a backbone shrinks by to its last feature map
PIXELS = 224**2
LONGEST = 4  # times the shorter side


def crop_size_for(boxes, pixels=PIXELS, longest=None):
    """Return the crops' height and width that fit most objects, at a given cost.

    1. The median of the boxes' height by width: half of the objects are wider, half higher.
    2. Of the sides that are multiples of 32, one at most four times the other, with at most a
       twentieth more than `pixels`: those nearest in shape and in area, by the logarithm of their
       ratios. Area counts twice, as it is what a crop costs.

    Example:
        size = discovery.crop_size_for([[0.3, 0.1, 0.6, 0.9]])  # of something wide: (128, 384)

    Args:
        boxes: `(N, 4)`, `y0 x0 y1 x1` as fractions of square photos.
        pixels: about how many pixels a crop has.
        longest: most pixels of a side; any number unless given.

    Returns:
        `(height, width)` in pixels; square for no boxes.

    Raises:
        ValueError: if `pixels` are too few for the smallest crop, 32 × 32.
    """
    if pixels < MULTIPLE**2:
        raise ValueError(
            f"Invalid value for argument `pixels`. Expected at least {MULTIPLE**2}. "
            f"Received: pixels={pixels}"
        )
    sides = np.maximum(np.reshape(boxes, (-1, 2, 2))[:, 1] - np.reshape(boxes, (-1, 2, 2))[:, 0], 0)
    sides = sides[np.all(sides > 0, axis=1)]
    aspect = float(np.median(sides[:, 0] / sides[:, 1])) if len(sides) else 1.0
    most = min(math.floor(1.05 * pixels / MULTIPLE), longest or pixels)
    lengths = range(MULTIPLE, most + 1, MULTIPLE)
    candidates = [
        (h, w)
        for h in lengths
        for w in lengths
        if h * w <= 1.05 * pixels and max(h, w) <= LONGEST * min(h, w)
    ]

    def distance(size):
        height, width = size
        shape, area = height / width / aspect, height * width / pixels
        return abs(math.log(shape)) + 2 * abs(math.log(area))

    return min(candidates, key=distance)
