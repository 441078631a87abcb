"""Does a run find wrong labels? `python benchmarks/doubts.py RUN`.

Of the labels of its test photos, one in twenty is made wrong: any other class, or the one that the
run itself takes for it most often. Prints a CSV: how many of the photos on the list of doubted
labels have a wrong one (precision), and how many of the wrong ones are on it (recall); means and
standard deviations over ten draws. Labels that were wrong before count as right ones.
"""

import csv
import pathlib
import sys

import numpy as np

from rra_keras import cli
from rra_keras.measures.calibration import probabilities
from rra_keras.measures.doubts import doubted_labels
from rra_keras.runs import Run, collect

SHARE = 0.05
DRAWS = 10


def made_wrong(labels, shares, kind, rng):
    """Return labels `(N,)` of which a share is wrong, and which, `(N,)` booleans.

    Args:
        labels: `(N,)` integers.
        shares: `(N, C)`, the run's probabilities.
        kind: `"any"`, any other class; `"twin"`, the one most probable beside the label's own, on
            average over its photos.
        rng: a NumPy generator.
    """
    count, classes = shares.shape
    wrong = np.zeros(count, bool)
    wrong[rng.choice(count, round(SHARE * count), replace=False)] = True
    other = (labels + rng.integers(1, classes, count)) % classes
    if kind == "twin":
        means = np.stack([shares[labels == c].mean(axis=0) for c in range(classes)])
        np.fill_diagonal(means, -1)
        other = means.argmax(axis=-1)[labels]
    return np.where(wrong, other, labels), wrong


def main(directory):
    """Print how well wrong labels are found."""
    with cli.bad_input_exits():
        run = Run.open(directory)
        test = run.load_data().splits["test"]
        model = run.load_model()
    seen, _ = collect(model, test)
    shares = probabilities(seen["logits"], model.calibration.temperature)
    out = csv.writer(sys.stdout, lineterminator="\n")
    out.writerow(["run", "wrong", "photos", "wrong_labels", "listed", "precision", "recall"])
    for kind in ("any", "twin"):
        found = []
        for draw in range(DRAWS):
            labels, wrong = made_wrong(test.labels, shares, kind, np.random.default_rng(draw))
            listed = doubted_labels(labels, shares)
            hits = wrong[listed].sum()
            found.append((len(listed), hits / max(len(listed), 1), hits / wrong.sum()))
        means, deviations = np.mean(found, axis=0), np.std(found, axis=0, ddof=1)
        values = [f"{m:.3g} ± {d:.2g}" for m, d in zip(means, deviations, strict=True)]
        name = pathlib.Path(directory).name
        out.writerow([name, kind, test.size, round(SHARE * test.size), *values])


if __name__ == "__main__":
    main(*sys.argv[1:])
