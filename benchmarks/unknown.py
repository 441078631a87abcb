"""Tell what is none of a run's classes: `python benchmarks/unknown.py RUN [DATASET …]`.

Known are the test photos of the run's classes. Unknown are, near, the test photos of the classes
that it was trained without (`measure.py --held_out=5`); far, those of other sets (`fgvc_aircraft`,
`folder:PATH`). Prints a CSV: of each score, how often a known photo has the higher one (AUROC), and
the share of unknown photos that pass where 95 % of the known ones do (FPR); and, on standard error,
what passes the threshold that the run chose on its validation split.
"""

import csv
import pathlib
import sys

import numpy as np

from rra_keras import cli, data
from rra_keras.data import pipeline
from rra_keras.measures import unknown
from rra_keras.measures.calibration import probabilities
from rra_keras.runs import Run

BATCH = 32
SEEN = ("logits", "vector", "score")


def without(source, count):
    """Return a `Source` less so many of its classes, evenly spread from the first to the last."""
    spread = np.linspace(0, len(source.class_names) - 1, count).round()
    return source.of_classes(n for i, n in enumerate(source.class_names) if i not in spread)


def look(view, split):
    """Return logits `(N, C)`, the features `(N, D)` that they come from, and scores `(N, 1)`.

    Args:
        view: a model of `SEEN`.
        split: a `Split`.
    """
    batches = pipeline.evaluation_batches(split, view.input_shape[1], BATCH, 2)  # labels unused
    seen = [view.predict_on_batch(np.asarray(images)) for images, _ in batches]
    return [np.concatenate([np.float64(part[name]) for part in seen]) for name in SEEN]


def scores_of(logits, features, scores, fitted):
    """Return each score's values `(N,)` by its name.

    Args:
        logits: `(N, C)`.
        features: `(N, D)`.
        scores: `(N, 1)`, the model's own.
        fitted: of `fit`.
    """
    means, covariance = fitted
    return {
        "the model's own": scores[:, 0],
        "max probability": probabilities(logits).max(axis=-1),  # what the others are to beat
        "max logit": unknown.max_logit(logits),
        "energy": unknown.energy(logits),
        "nearest mean": unknown.nearest_mean(features, means),
        "mahalanobis": unknown.mahalanobis(features, means, covariance),
    }


def fit(features, labels):
    """Return the class means of training photos' features, and their covariance within classes."""
    means = unknown.class_means(features, labels)
    return means, unknown.shrunk_covariance(features - means[labels])


def load(run, others):
    """Return a run's own `Source`, and the unknown test splits by name."""
    config, names = run.config, run.class_names
    options = {name: config[name] for name in ("data_dir", "group_regex", "seed")}
    whole = data.load(config["dataset"], **options)
    held_out = [name for name in whole.class_names if name not in names]
    sets = {"near": whole.of_classes(held_out).splits["test"]} if held_out else {}
    for other in others:
        sets[other] = data.load(other, data_dir=config["data_dir"]).splits["test"]
    if not sets:
        raise ValueError(
            "Expected a run that classes were held out of, or other data sets. "
            f"Received: {run} with all {len(names)} classes, and no other"
        )
    return whole.of_classes(names), sets


def main(directory, *others):
    """Print how well each score tells known photos from those of each unknown set."""
    with cli.bad_input_exits():
        run = Run.open(directory)
        own, sets = load(run, others)
        model, train = run.load_model(), own.splits["train"]
        view = model.view(*SEEN)
        fitted = fit(look(view, train)[1], train.labels)

    def measured(split):
        logits, features, scores = look(view, split)
        passing = unknown.is_known(scores, model.known_from).mean()
        return scores_of(logits, features, scores, fitted), passing

    known, passing = measured(own.splits["test"])
    print(f"known: {passing:.1%} pass the run's threshold", file=sys.stderr)
    out = csv.writer(sys.stdout, lineterminator="\n")
    out.writerow(["run", "unknown", "photos", "score", "auroc", "fpr"])
    for name, split in sets.items():
        found, passing = measured(split)
        print(f"{name}: {passing:.1%} pass the run's threshold", file=sys.stderr)
        for score, values in found.items():
            auroc = unknown.auroc(known[score], values)
            passed = unknown.false_positive_rate(known[score], values)
            row = [pathlib.Path(directory).name, name, split.size, score]
            out.writerow([*row, f"{auroc:.4f}", f"{passed:.4f}"])


if __name__ == "__main__":
    main(*sys.argv[1:])
