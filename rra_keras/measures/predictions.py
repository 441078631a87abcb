"""What a model says of photos, and how often it is right."""

import numpy as np

from rra_keras.measures.calibration import probabilities
from rra_keras.measures.unknown import is_known

TOP = 5  # classes that a table names for each photo


def accuracies(logits, labels):
    """Return `accuracy` and `top5_accuracy` in [0, 1], of logits `(N, C)` and labels `(N,)`."""
    ranked = np.argsort(-logits, axis=-1, kind="stable")  # (N, C)
    right = ranked == np.asarray(labels)[:, None]
    return {
        "accuracy": float(right[:, 0].mean()),
        "top5_accuracy": float(right[:, :5].any(axis=-1).mean()),
    }


def prediction_rows(
    logits, scores, class_names, temperature=1.0, known_from=None, labels=None, names=None
):
    """Return what a model says of photos, a row each: the one form of all tables.

    Args:
        logits: `(N, C)`.
        scores: `(N,)`.
        class_names: names in the order of the logits.
        temperature: what logits are divided by.
        known_from: the least score of a photo of any of the classes; `None` for all.
        labels: `(N,)` integers, where they are known.
        names: the photos' names; their numbers unless given.

    Returns:
        A list of dicts: `file`, `label` where it is known, `predicted`, `probability`, `score`,
        `known` (1 or 0), then `predicted_2`, `probability_2` and so on for the next classes.
    """
    shares = probabilities(logits, temperature)
    order = np.argsort(-shares, axis=-1, kind="stable")[:, :TOP]
    known = is_known(scores, known_from)
    rows = []
    for i, ranked in enumerate(order):
        row = {"file": names[i] if names else i}
        if labels is not None:
            row["label"] = class_names[labels[i]]
        for rank, c in enumerate(ranked, start=1):
            end = f"_{rank}" if rank > 1 else ""
            row |= {f"predicted{end}": class_names[c], f"probability{end}": f"{shares[i, c]:.6f}"}
            if rank == 1:
                row |= {"score": f"{scores[i]:.6f}", "known": int(known[i])}
        rows.append(row)
    return rows
