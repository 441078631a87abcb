"""Photos and labels are checked before a model learns from them."""

import contextlib
import re

import numpy as np

from rra_keras.measures.photos import INVALID, check_labels, check_photos

_STRIDE = 8  # pixels between those that are looked at in batches of a data set


def checked(x, y, model):
    """Check what `fit`, `evaluate` or `predict` is given.

    Arrays and tensors are checked at once; batches of a `tf.data.Dataset` as they come, by some of
    their pixels. Others pass.

    Args:
        x: photos, or a data set of photos and labels.
        y: labels, or `None`.
        model: a `Classifier`.

    Returns:
        `x`, or a data set that checks itself.

    Raises:
        ValueError: as `check_photos` and `check_labels`.
    """
    if hasattr(x, "element_spec") and hasattr(x, "map"):
        return _checking(x, model)
    if hasattr(x, "shape"):
        check_photos(x)
    if y is not None and not isinstance(y, dict):
        check_labels(y, model.num_classes, model.answer)
    return x


def _checking(dataset, model):
    import tensorflow as tf

    def check(photos, labels=None):
        check_photos(photos)
        if labels is not None:
            check_labels(labels, model.num_classes, model.answer)
        return np.bool_(True)

    def checked_batch(*batch):
        photos = batch[0]
        if not tf.is_tensor(photos) or photos.shape.rank != 4:
            return batch if len(batch) > 1 else photos
        some = [photos[:, ::_STRIDE, ::_STRIDE]]
        some += [labels for labels in batch[1:2] if tf.is_tensor(labels)]
        with tf.control_dependencies([tf.numpy_function(check, some, tf.bool)]):
            passed = tf.identity(photos)
        return (passed, *batch[1:]) if len(batch) > 1 else passed

    return dataset.map(checked_batch, num_parallel_calls=tf.data.AUTOTUNE)


@contextlib.contextmanager
def told_as_value_errors():
    """Raise as a `ValueError` what was found in the midst of a data set."""
    try:
        yield
    except Exception as error:
        found = re.search(rf"ValueError: ({INVALID}.*)", str(error))
        if isinstance(error, ValueError) or not found:
            raise
        raise ValueError(found[1]) from None
