"""A photo is of any number of the classes."""

import numpy as np
from scipy.special import expit

from rra_keras.answers.one_of import none_of_these
from rra_keras.measures import multilabel
from rra_keras.measures.labels import SEPARATOR
from rra_keras.measures.unknown import is_known


class AnyOf:
    """Sigmoid: each class from its own threshold on. Labels are 0 and 1, `(N, C)`.

    Attributes:
        monitor: what the best epoch is chosen by: mean average precision.
    """

    monitor = "mean_ap"

    def probabilities(self, logits, temperature):
        """Return probabilities `(…, C)` of logits `(…, C)`, each by itself."""
        return expit(np.asarray(logits) / temperature)

    def combine(self, attention, logits, scores, distinct):
        """Return what fixations say together: of each class, and of the score, the most."""
        counted = np.asarray(distinct) > 0  # (N, K)
        most = np.where(counted[:, :, None], logits, -np.inf).max(axis=1)
        return most, np.where(counted, scores, -np.inf).max(axis=1)

    def fit_attention(self, attention, logits, distinct, labels):
        """Leave the attention over fixations as it is: each is read, and says what it shows."""

    def fit(self, layer, logits, labels):
        """Calibrate a `Calibration`: one temperature, and a threshold for each class."""
        layer.temperature = multilabel.fit_temperature(logits, labels)
        shares = self.probabilities(logits, layer.temperature)
        layer.thresholds = multilabel.fit_thresholds(shares, labels)

    def said(self, layer, logits):
        """Return which classes are said of photos, `(N, C)` booleans."""
        return self.probabilities(logits, layer.temperature) >= layer.thresholds

    def figures(self, layer, logits, labels):
        """Return what answers are worth, a dict of floats."""
        said = self.said(layer, logits)
        with np.errstate(invalid="ignore"):
            return {
                "mean_ap": float(np.nanmean(multilabel.average_precision(logits, labels))),
                "f1_macro": float(np.nanmean(multilabel.f1(said, labels))),
                "f1_micro": multilabel.micro_f1(said, labels),
                "all_right": float(np.mean(self.right(layer, logits, labels) == 1)),
                "calibration_error": multilabel.calibration_error(
                    logits, labels, layer.temperature
                ),
                "calibration_error_before": multilabel.calibration_error(logits, labels, 1.0),
            }

    def labeled(self, labels):
        """Return which photos are of any of the classes, `(N,)` booleans; all where none is."""
        labeled = np.asarray(labels).any(axis=-1)
        return labeled if labeled.any() else ~labeled

    def tiles(self, figures):
        """Return what stands first in a report: names and values."""
        return {
            "mean average precision": figures["mean_ap"],
            "F1": figures["f1_micro"],
            "every label right": figures["all_right"],
        }

    def headline(self, metrics):
        """Return a run's result in a few words, of `metrics.json`."""
        return (
            f"Test mean average precision {metrics['test_mean_ap']:.1%}, "
            f"F1 {metrics['test_f1_micro']:.1%}"
        )

    def right(self, layer, logits, labels):
        """Return for which share of the classes each photo's answer is right, `(N,)`."""
        return (self.said(layer, logits) == (np.asarray(labels) > 0)).mean(axis=-1)

    def same(self, layer, logits, others):
        """Return for which share of the classes two answers to each photo agree, `(N,)`."""
        return (self.said(layer, logits) == self.said(layer, others)).mean(axis=-1)

    def rows(self, layer, logits, scores, class_names, labels=None, names=None):
        """Return what is said of photos, a row each.

        Returns:
            A list of dicts: `file`; `label`, joined by `;`, where it is known; `predicted` and
            `probability`, of the classes that are said, the most probable first, joined by `;`;
            `score`; `known` (1 or 0); then `p(NAME)` of each class.
        """
        shares = self.probabilities(logits, layer.temperature)
        said, known = self.said(layer, logits), is_known(scores, layer.known_from)
        rows = []
        for i in range(len(shares)):
            row = {"file": names[i] if names else i}
            if labels is not None:
                there = np.flatnonzero(labels[i])
                row["label"] = SEPARATOR.join(class_names[c] for c in there)
            first = [c for c in np.argsort(-shares[i], kind="stable") if said[i, c]]
            row |= {
                "predicted": SEPARATOR.join(class_names[c] for c in first),
                "probability": SEPARATOR.join(f"{shares[i, c]:.6f}" for c in first),
                "score": f"{scores[i]:.6f}",
                "known": int(known[i]),
            }
            row |= {
                f"p({name})": f"{share:.6f}"
                for name, share in zip(class_names, shares[i], strict=True)
            }
            rows.append(row)
        return rows

    def text(self, row, known_from):
        """Return what is said of a photo, in lines for a screen."""
        if not row["known"]:
            return none_of_these(row, known_from)
        if not row["predicted"]:
            return "  none of these (each below its threshold)"
        pairs = zip(
            row["probability"].split(SEPARATOR), row["predicted"].split(SEPARATOR), strict=True
        )
        return "\n".join(f"  {float(share):6.1%}  {name}" for share, name in pairs)
