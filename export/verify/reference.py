"""What Keras says of real images: what every exported file is compared with."""

import collections
import dataclasses

import numpy as np

from rra_keras.data import pipeline
from rra_keras.runs import collect

BATCH_SIZE = 16


@dataclasses.dataclass(frozen=True)
class Reference:
    """Real images, their labels, and what Keras says of them.

    Attributes:
        batches: yields `(B, S, S, 3)` arrays, each time from the start.
        labels: `(V,)` integers, or `(V, C)` of 0 and 1, of the validation split, which comes first.
        expected: a dict of `logits` `(N, C)` and `score` `(N, 1)`, and with fixations `boxes` and
            `weights`, `(N, K, 4)` and `(N, K)`.
        known_from: the model's, the score from which on an image is of any of the classes.
        answer: the model's, `"one"` of the classes or `"any"` number of them.
        calibration: the model's.
    """

    batches: collections.abc.Callable
    labels: np.ndarray
    expected: dict
    known_from: float | None = None
    answer: str = "one"
    calibration: object = None


def keras_reference(model, splits):
    """Run a model in Keras on real images.

    Args:
        model: a classifier of this package.
        splits: the validation split, and further ones to compare on.

    Returns:
        A `Reference`.
    """
    names = ["logits", "score", *(["read_boxes", "fixation_weights"] if model.attention else [])]
    expected, labels = collect(model, splits, names, BATCH_SIZE, verbose=False)
    if model.attention:
        expected["boxes"] = expected.pop("read_boxes")
        expected["weights"] = expected.pop("fixation_weights")

    def batches():
        for split in splits:
            for images, _ in pipeline.evaluation_batches(split, model.image_size, BATCH_SIZE):
                yield images.numpy()

    calibration, labels = model.calibration, labels[: splits[0].size]
    about = (calibration.known_from, model.answer, calibration)
    return Reference(batches, labels, expected, *about)


def concatenate(outputs):
    """Join dicts of `(B, …)` arrays → a dict of `(N, …)` arrays."""
    return {name: np.concatenate([np.asarray(o[name]) for o in outputs]) for name in outputs[0]}
