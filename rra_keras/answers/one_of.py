"""A photo is of one of the classes."""

import numpy as np

from rra_keras.measures import calibration, fixations
from rra_keras.measures.predictions import accuracies, prediction_rows


class OneOf:
    """Softmax: the most probable class is the answer. Labels are integers `(N,)`.

    Attributes:
        monitor: what the best epoch is chosen by.
    """

    monitor = "accuracy"

    def probabilities(self, logits, temperature):
        """Return probabilities `(…, C)` of logits `(…, C)`."""
        return calibration.probabilities(logits, temperature)

    def combine(self, attention, logits, scores, distinct):
        """Return what fixations say together: logits `(N, C)` and scores `(N,)`."""
        about = (attention.temperature, attention.sure_from)
        return fixations.combine(logits, scores, distinct, *about)[:2]

    def fit_attention(self, attention, logits, distinct, labels):
        """Set when the attention over fixations is sure, by photos that were not trained on."""
        fitted = fixations.fit_attention(logits, distinct, labels)
        attention.temperature, attention.sure_from = fitted

    def fit(self, layer, logits, labels):
        """Calibrate a `Calibration`, by photos that were not trained on."""
        layer.temperature = calibration.fit_temperature(logits, labels)

    def figures(self, layer, logits, labels):
        """Return what answers are worth, a dict of floats."""
        errors = calibration.calibration_errors(logits, labels, layer.temperature)
        return {**accuracies(logits, labels), **errors}

    def labeled(self, labels):
        """Return which photos are of any of the classes, `(N,)` booleans."""
        return np.ones(len(labels), bool)

    def tiles(self, figures):
        """Return what stands first in a report: names and values."""
        return {"accuracy": figures["accuracy"], "top 5": figures["top5_accuracy"]}

    def headline(self, metrics):
        """Return a run's result in a few words, of `metrics.json`."""
        return (
            f"Test accuracy {metrics['test_accuracy']:.1%}, "
            f"top-5 {metrics['test_top5_accuracy']:.1%}"
        )

    def right(self, layer, logits, labels):
        """Return how much of each photo's answer is right, `(N,)`: 1 or 0."""
        return np.float64(np.argmax(logits, axis=-1) == np.asarray(labels))

    def same(self, layer, logits, others):
        """Return how much two answers to each photo agree, `(N,)`: 1 or 0."""
        return np.float64(np.argmax(logits, axis=-1) == np.argmax(others, axis=-1))

    def rows(self, layer, logits, scores, class_names, labels=None, names=None):
        """Return what is said of photos, a row each, see `prediction_rows`."""
        about = (class_names, layer.temperature, layer.known_from)
        return prediction_rows(logits, scores, *about, labels, names)

    def text(self, row, known_from):
        """Return what is said of a photo, in lines for a screen."""
        if not row["known"]:
            return none_of_these(row, known_from)
        lines, rank = [], ""
        while f"predicted{rank}" in row:
            share, name = float(row[f"probability{rank}"]), row[f"predicted{rank}"]
            lines.append(f"  {share:6.1%}  {name}")
            rank = f"_{int(rank.strip('_') or 1) + 1}"
        return "\n".join(lines)


def none_of_these(row, known_from):
    """Return the line for a photo that is of none of the classes."""
    return f"  none of these (score {float(row['score']):.2f}, known from {known_from:.2f})"
