"""What photos and labels must be, and batches of them."""

import warnings

import numpy as np

INVALID = "Invalid value for argument "


def check_photos(photos, name="x"):
    """Raise or warn if photos are not RGB 0…255.

    Args:
        photos: `(N, H, W, 3)`.
        name: what the caller's argument is called.

    Raises:
        ValueError: if a pixel is not finite, or below 0 or above 255 by more than rounding.

    Warns:
        UserWarning: if no pixel is above 1, as where photos were scaled to [0, 1].

    Example:
        from rra_keras.measures.photos import check_photos

        check_photos(images)
    """
    photos = np.asarray(photos)
    if photos.dtype.kind not in "fiub" and photos.dtype.name != "bfloat16":
        raise ValueError(f"{INVALID}`{name}`. Expected photos. Received: dtype {photos.dtype}")
    if not photos.size or (photos.dtype == np.uint8 and photos.max() > 1):
        return
    low, high = float(photos.min()), float(photos.max())  # NaN where one is
    if not (np.isfinite(low) and np.isfinite(high)):
        raise ValueError(
            f"{INVALID}`{name}`. Expected finite pixels, RGB 0…255. Received: NaN or infinity"
        )
    if low < -1 or high > 256:
        raise ValueError(
            f"{INVALID}`{name}`. Expected pixels in 0…255. Received: {low:g} to {high:g}; what a "
            "backbone needs is done inside of the model"
        )
    if 0 < high <= 1:
        warnings.warn(
            f"Expected pixels in 0…255. Received: photos with none above {high:g}, as if they were "
            "scaled to 0…1: multiply them by 255",
            stacklevel=2,
        )


def filled(rows, batch_size):
    """Return an array with rows of zeros added, so that a model sees as many each time.

    A model is compiled once for each number of rows.

    Example:
        from rra_keras.measures.photos import filled

        assert filled(images[:2], 4).shape[0] == 4
    """
    if len(rows) == batch_size:
        return rows
    return np.pad(rows, [(0, batch_size - len(rows))] + [(0, 0)] * (np.ndim(rows) - 1))


def check_labels(labels, num_classes, answer="one"):
    """Raise if integer labels are of no class, or labels of any number of classes not 0 and 1.

    Args:
        labels: integers `(N,)` or `(N, 1)`; others pass. For `answer="any"` `(N, C)`.
        num_classes: classes C.
        answer: `"one"` or `"any"` number of the classes.

    Raises:
        ValueError: naming the range.

    Example:
        from rra_keras.measures.photos import check_labels

        check_labels([0, 2, 1], num_classes=3)
    """
    labels = np.asarray(labels)
    if answer == "any":
        if labels.ndim != 2 or labels.shape[1] != num_classes or not np.isin(labels, (0, 1)).all():
            raise ValueError(
                f"{INVALID}`y`. Expected 0 and 1 for each of {num_classes} classes, "
                f"(N, {num_classes}). Received: shape {labels.shape}, {labels.dtype}"
            )
        return
    column = labels.ndim == 2 and labels.shape[1] == 1
    if not labels.size or labels.dtype.kind not in "iuf" or not (labels.ndim == 1 or column):
        return
    low, high = labels.min(), labels.max()
    if not (low >= 0 and high < num_classes):
        hint = "; do they count from 1?" if (low, high) == (1, num_classes) else ""
        raise ValueError(
            f"{INVALID}`y`. Expected labels in 0…{num_classes - 1}, for {num_classes} classes. "
            f"Received: {low:g} to {high:g}{hint}"
        )
