"""When the glance is enough: accuracy against cost for every threshold of its confidence."""

import numpy as np


def curve(glance_probabilities, logits, labels, glance_cost, costs):
    """Return what every threshold of the glance's confidence gives.

    The glance answers for the images whose highest probability reaches the threshold; the others
    cost as much as each needs.

    Args:
        glance_probabilities: `(N, C)`.
        logits: `(N, C)`, the whole model's.
        labels: `(N,)` integers.
        glance_cost: multiply-adds of the glance.
        costs: `(N,)`, those of each image where the glance is not enough.

    Returns:
        A dict of arrays `(K,)`, by rising cost: `confidence`, the threshold (0: the glance always
        answers; 2: never); `share` of images it answers for, `accuracy` and `multiply_adds` an
        image on average.
    """
    confidences = glance_probabilities.max(axis=-1)  # (N,)
    thresholds = np.concatenate([[0.0], np.unique(confidences)[1:], [2.0]])
    answered = confidences >= thresholds[:, None]  # (K, N)
    right = [np.argmax(each, axis=-1) == labels for each in (glance_probabilities, logits)]
    return {
        "confidence": thresholds,
        "share": answered.mean(axis=1),
        "accuracy": np.where(answered, *right).mean(axis=1),
        "multiply_adds": np.where(answered, glance_cost, costs).mean(axis=1),
    }


def costs(multiply_adds, refined):
    """Return the multiply-adds of images that the glance leaves in doubt, `(N,)`.

    Args:
        multiply_adds: by signature, as `flatbuffer.multiply_adds` counts.
        refined: `(N,)`, how often each image was looked at before it was read.
    """
    fixed = multiply_adds["glance"] + multiply_adds["read"]
    return fixed + np.asarray(refined) * multiply_adds.get("look", 0)


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
