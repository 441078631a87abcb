"""What `find_objects` is given, as arrays, whatever it came as."""

import numpy as np

from rra_keras.measures.labels import one_hot
from rra_keras.measures.photos import check_photos

CHECKED = 64  # photos whose pixels are checked


def checked_photos(photos, labels):
    """Photos, and their labels as rows of 0 and 1 `(N, C)`, whatever they came as."""
    if hasattr(photos, "element_spec"):
        photos, labels = _of_dataset(photos, labels)
    photos = photos if isinstance(photos, np.ndarray) else np.asarray(photos)
    photos = photos.astype("float32") if photos.dtype == "float64" else photos
    if len(photos.shape) != 4 or photos.shape[1] != photos.shape[2] or photos.shape[3] != 3:
        raise ValueError(
            "Invalid value for argument `photos`. Expected square RGB photos, (N, S, S, 3). "
            f"Received: shape {tuple(photos.shape)}"
        )
    if not len(photos):
        raise ValueError("Invalid value for argument `photos`. Expected photos. Received: none")
    some = np.linspace(0, len(photos) - 1, min(len(photos), CHECKED)).astype(int)
    check_photos(np.asarray(photos[some]), "photos")
    if labels is not None:
        labels = np.asarray(labels)
        labels = labels if labels.ndim == 2 and labels.shape[1] > 1 else one_hot(labels.ravel())
        if len(labels) != len(photos):
            raise ValueError(
                "Invalid value for argument `labels`. Expected one for each photo. "
                f"Received: {len(labels)} labels for {len(photos)} photos"
            )
    return photos, labels


def checked_boxes(boxes, count):
    """Given boxes as `(N, M, 4)`."""
    boxes = np.asarray(boxes, "float32")
    boxes = boxes[:, None] if boxes.ndim == 2 else boxes
    if boxes.ndim != 3 or boxes.shape[0] != count or boxes.shape[2] != 4:
        raise ValueError(
            f"Invalid value for argument `boxes`. Expected ({count}, 4) or ({count}, M, 4). "
            f"Received: shape {boxes.shape}"
        )
    some = boxes[~np.isnan(boxes).any(axis=-1)]
    if not len(some):
        raise ValueError("Invalid value for argument `boxes`. Expected a box. Received: none")
    inside = (some >= -1e-6).all() and (some <= 1 + 1e-6).all()
    if not (inside and (some[:, 2:] > some[:, :2]).all()):
        raise ValueError(
            "Invalid value for argument `boxes`. Expected y0 x0 y1 x1 in [0, 1], y0 < y1 and "
            f"x0 < x1. Received: {some[np.argmax(np.abs(some).max(axis=1))].tolist()} and others"
        )
    return boxes


def _of_dataset(dataset, labels):
    """The photos and labels of a `tf.data.Dataset`, of single ones or of batches."""
    if labels is not None:
        raise ValueError(
            "Invalid value for argument `labels`. Expected None beside a data set, which holds "
            "them. Received: labels"
        )
    examples = [
        each if isinstance(each, tuple) else (each,) for each in dataset.as_numpy_iterator()
    ]
    join = np.stack if examples and np.ndim(examples[0][0]) == 3 else np.concatenate
    columns = [join(column) for column in zip(*examples, strict=True)] or [np.zeros(0)]
    return columns[0], columns[1] if len(columns) > 1 else None
