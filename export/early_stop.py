"""When the glance is enough: accuracy against cost for every threshold of its confidence."""

import numpy as np


def curve(glance_probabilities, logits, labels, multiply_adds):
    """Return what every threshold of the glance's confidence gives.

    The glance answers for the images whose highest probability reaches the threshold; the others
    cost as much as the whole model, which goes on from the glance.

    Args:
        glance_probabilities: `(N, C)`.
        logits: `(N, C)`, the whole model's.
        labels: `(N,)` integers.
        multiply_adds: of the signatures `glance` and `focus`, as `flatbuffer.multiply_adds` counts.

    Returns:
        A dict of arrays `(K,)`, by rising cost: `confidence`, the threshold (0: the glance always
        answers; 2: never); `share` of images it answers for, `accuracy` and `multiply_adds` an
        image on average.
    """
    confidences = glance_probabilities.max(axis=-1)  # (N,)
    thresholds = np.concatenate([[0.0], np.unique(confidences)[1:], [2.0]])
    answered = confidences >= thresholds[:, None]  # (K, N)
    right = [np.argmax(each, axis=-1) == labels for each in (glance_probabilities, logits)]
    share = answered.mean(axis=1)
    whole = multiply_adds["glance"] + multiply_adds["focus"]
    return {
        "confidence": thresholds,
        "share": share,
        "accuracy": np.where(answered, *right).mean(axis=1),
        "multiply_adds": whole - share * (whole - multiply_adds["glance"]),
    }


def calibrate(points, loss=0.003):
    """Return the cheapest threshold that loses at most `loss` of the full accuracy.

    Args:
        points: what `curve` returned.
        loss: in [0, 1].
    """
    enough = points["accuracy"] >= points["accuracy"][-1] - loss - 1e-9
    return float(points["confidence"][np.argmax(enough)])


def point_at(points, confidence):
    """Return the point of a curve at a threshold, a dict of floats; `confidence` is as given."""
    index = min(np.searchsorted(points["confidence"], confidence), len(points["share"]) - 1)
    return {name: float(values[index]) for name, values in points.items()} | {
        "confidence": float(confidence)
    }


def thin(points, count=21):
    """Return about `count` of a curve's points, evenly spread over the images answered for."""
    kept = np.unique(np.linspace(0, len(points["share"]) - 1, count).round().astype(int))
    return [{name: float(values[index]) for name, values in points.items()} for index in kept]
