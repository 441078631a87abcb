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
from rra_keras.measures import unknown
from rra_keras.runs import Run, collect


def without(source, count):
    """Return a `Source` less so many of its classes, evenly spread from the first to the last."""
    spread = np.linspace(0, len(source.class_names) - 1, count).round()
    return source.of_classes(n for i, n in enumerate(source.class_names) if i not in spread)


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
        model = run.load_model()

    def scores_of(split):
        seen, _ = collect(model, split, ("logits", "score"), verbose=False)
        return {
            "the model's own": seen["score"][:, 0],
            "max logit": unknown.max_logit(seen["logits"]),
        }

    def say(name, scores):
        passing = unknown.is_known(scores["the model's own"], model.calibration.known_from).mean()
        print(f"{name}: {passing:.1%} pass the run's threshold", file=sys.stderr)

    known = scores_of(own.splits["test"])
    say("known", known)
    out = csv.writer(sys.stdout, lineterminator="\n")
    out.writerow(["run", "unknown", "photos", "score", "auroc", "fpr"])
    for name, split in sets.items():
        found = scores_of(split)
        say(name, found)
        for score, values in found.items():
            auroc = unknown.auroc(known[score], values)
            passed = unknown.false_positive_rate(known[score], values)
            row = [pathlib.Path(directory).name, name, split.size, score]
            out.writerow([*row, f"{auroc:.4f}", f"{passed:.4f}"])


if __name__ == "__main__":
    main(*sys.argv[1:])
