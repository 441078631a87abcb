"""A report's figures where a photo may have several labels."""

import numpy as np

from rra_keras import answers
from rra_keras.measures import calibration, multilabel

_ANY = answers.of("any")
_PAIRS = 5


def classes(layer, logits, labels, names):
    """Return each class's figures.

    Args:
        layer: the model's `Calibration`.
        logits: `(N, C)`.
        labels: `(N, C)` of 0 and 1.
        names: of the classes.

    Returns:
        A list of dicts: `name`, `images` that have the label, `recall`, `precision`, `f1`, `ap`
        (average precision) and `threshold`; `None` where undefined.
    """
    said, there = _ANY.said(layer, logits), np.asarray(labels) > 0
    hits = (said & there).sum(axis=0)
    rows = []
    for c, name in enumerate(names):
        images, times = int(there[:, c].sum()), int(said[:, c].sum())
        rows.append(
            {
                "name": name,
                "images": images,
                "recall": float(hits[c] / images) if images else None,
                "precision": float(hits[c] / times) if times else None,
                "f1": float(multilabel.f1(said[:, [c]], there[:, [c]])[0]),
                "ap": float(multilabel.average_precision(logits[:, [c]], there[:, [c]])[0]),
                "threshold": float(layer.thresholds[c]),
            }
        )
    return rows


def together(layer, logits, labels, names, most=_PAIRS):
    """Return the pairs of labels whose being said together is furthest from their being there.

    Returns:
        A list of dicts: `a`, `b`, in how many photos both are `there`, and both `said`.
    """
    said, there = _ANY.said(layer, logits).astype(int), (np.asarray(labels) > 0).astype(int)
    both_said, both_there = said.T @ said, there.T @ there
    apart = np.triu(np.abs(both_said - both_there), k=1)
    order = np.argsort(-apart, axis=None, kind="stable")[:most]
    pairs = [divmod(int(place), len(names)) for place in order if apart.flat[place]]
    return [
        {
            "a": names[a],
            "b": names[b],
            "there": int(both_there[a, b]),
            "said": int(both_said[a, b]),
        }
        for a, b in pairs
    ]


def surest_errors(layer, logits, labels, most):
    """Return the photos with the surest wrong label, or with the one missed by most.

    How sure is the distance of the label's probability from its threshold.

    Returns:
        Their places among the N, the surest first.
    """
    wrong = _ANY.said(layer, logits) != (np.asarray(labels) > 0)
    margin = np.abs(_ANY.probabilities(logits, layer.temperature) - layer.thresholds)
    sure = np.where(wrong, margin, -1.0).max(axis=1)
    order = np.argsort(-sure, kind="stable")[:most]
    return [int(i) for i in order if sure[i] >= 0]


def reliability(layer, logits, labels):
    """Return how far probabilities mean what they say, each label a yes or a no by itself."""
    shares = _ANY.probabilities(logits, layer.temperature).ravel()
    right = (shares >= 0.5) == (np.asarray(labels).ravel() > 0)
    confidence = np.maximum(shares, 1 - shares)
    groups = calibration.reliability(confidence, right)
    return {
        "calibration_error": multilabel.calibration_error(logits, labels, layer.temperature),
        "calibration_error_before": multilabel.calibration_error(logits, labels, 1.0),
        "temperature": layer.temperature,
        "mean_confidence": float(confidence.mean()),
        "mean_right": float(right.mean()),
        **{name: values.tolist() for name, values in groups.items()},
    }


def fixation_table(seen, distinct, labels, found):
    """Return a row for each number of fixations: mean average precision, and objects found.

    Args:
        seen: the `Explanation` of N photos.
        distinct: `(N, K)`, 1 for what counts.
        labels: `(N, C)` of 0 and 1.
        found: number of fixations → share of the true boxes that they are, or `None`.
    """
    rows = []
    scores = np.zeros(distinct.shape)
    for count in range(1, distinct.shape[1] + 1):
        about = (seen.part_logits[:, :count], scores[:, :count], distinct[:, :count])
        logits, _ = _ANY.combine(None, *about)
        precision = multilabel.average_precision(logits, labels)
        rows.append(
            {
                "name": f"fixation {count}",
                "read": float((distinct[:, count - 1] > 0).mean()),
                "weight": None,
                "chosen": None,
                "accuracy": float(np.nanmean(precision)),
                "found": found(count),
            }
        )
    return {
        "rows": rows,
        "reads": float(distinct.sum(axis=1).mean()),
        "first": rows[0]["accuracy"],
        "entropy": None,
        "objects_found": rows[-1]["found"],
        "curve": [],
        "sure_from": None,
    }
