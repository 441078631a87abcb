"""The images a report is on, and where things are in them."""

import numpy as np

from rra_keras.data import boxes as box_data
from rra_keras.data import pipeline


def load(source, split="test", boxes=None, images=None):
    """Choose what a report is on.

    Args:
        source: what `Run.load_data` returned.
        split: name of the split.
        boxes: of `boxes.of_split`; those that the data set brings unless given.
        images: how many to keep, spread evenly; all for `None`.

    Returns:
        `(Split, Boxes or None)`.

    Raises:
        ValueError: if the boxes do not fit.
        OSError: if files cannot be read.
    """
    whole = source.splits[split]
    found = box_data.of_split(source, split, boxes) if boxes else whole.boxes
    chosen = spread(whole.size, images or whole.size)
    return whole.subset(chosen), None if found is None else found[chosen]


def spread(size, count):
    """Return `count` integers, or `size` if fewer, spread evenly over `range(size)`."""
    return np.unique(np.linspace(0, size - 1, min(count, size)).round().astype(int))


def read(split, image_size, indices):
    """Return photos of a split at `indices`.

    Returns:
        A dict from index to the photo `(S, S, 3)`, RGB 0…255, and its own width by its height.
    """
    indices = sorted(indices)
    some = split.subset(indices)
    images = (images[0] for images, _ in pipeline.evaluation_batches(some, image_size, 1))
    return {
        index: (image.numpy(), aspect)
        for index, image, aspect in zip(indices, images, some.aspects(), strict=True)
    }
