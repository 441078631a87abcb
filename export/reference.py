"""What Keras says of real images: what every exported file is compared with."""

import collections
import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Reference:
    """Real images, their labels, and what Keras says of them.

    Attributes:
        batches: yields `(B, S, S, 3)` arrays, each time anew.
        labels: `(V,)` integers, of the validation split, which comes first.
        expected: a dict of `logits` `(N, C)` and `score` `(N, 1)`, and with looks `boxes`
            `(N, looks, 4)` and `glance_logits` `(N, C)`; with `localizer="box"` `refined` `(N,)`.
        known_from: the model's, the score from which on an image is of any of the classes.
    """

    batches: collections.abc.Callable
    labels: np.ndarray
    expected: dict
    known_from: float | None = None


def keras_reference(model, splits, batches_of):
    """Run a model in Keras on real images.

    Args:
        model: an `RRAClassifier`.
        splits: the validation split, and further ones to compare on.
        batches_of: a function from a split to batches of images and one-hot labels.

    Returns:
        A `Reference`.
    """
    names = ["logits", "score", *(["boxes", "glance_logits"] if model.looks else [])]
    view = model.view(*names, *(["refined"] if model.learns_where else []))
    outputs, labels = [], []
    for split in splits:
        for images, one_hot in batches_of(split):
            outputs.append(view.predict_on_batch(images))
            if split is splits[0]:
                labels.append(np.argmax(one_hot, axis=-1))
    return Reference(
        lambda: (images.numpy() for split in splits for images, _ in batches_of(split)),
        np.concatenate(labels),
        concatenate(outputs),
        model.known_from,
    )


def concatenate(outputs):
    """Join dicts of `(B, …)` arrays → a dict of `(N, …)` arrays."""
    return {name: np.concatenate([np.asarray(o[name]) for o in outputs]) for name in outputs[0]}
