"""Learn more classes: `python benchmarks/going_on.py RUN 20 [imagenet]`.

RUN was trained without some classes of its data set (`measure.py --held_out=5`). Training goes on
from it with all classes: the known ones with all their training photos, each new one with 20. With
`imagenet` it starts from there with the same photos. Prints a CSV: test accuracy on the photos
of known classes and on those of new ones, among all classes.
"""

import csv
import dataclasses
import sys

import numpy as np

from rra_keras import cli, data, training
from rra_keras.runs import Run
from rra_keras.training.config import Config


def few(source, known, photos):
    """Return a `Source` with at most so many training photos of each class after the first ones.

    Args:
        source: a `Source`.
        known: number of classes, the first ones, that keep all of theirs.
        photos: of each other class.
    """
    train = source.splits["train"]
    kept = [np.flatnonzero(train.labels < known)]
    for label in range(known, len(source.class_names)):
        kept.append(np.flatnonzero(train.labels == label)[:photos])
    splits = source.splits | {"train": train.subset(np.concatenate(kept))}
    return dataclasses.replace(source, splits=splits)


def main(directory, photos, start="run"):
    """Train, and print how well known and new classes are recognized."""
    with cli.bad_input_exits():
        run = Run.open(directory)
        config = Config(**run.config)
        whole = data.load(config.dataset, group_regex=config.group_regex, seed=config.seed)
        new = [name for name in whole.class_names if name not in run.class_names]
        if not new:
            raise ValueError(f"Expected a run without some classes. Received: {run} with all")
    known = len(run.class_names)
    source = few(whole.of_classes([*run.class_names, *new]), known, int(photos))
    if start == "run":
        config = dataclasses.replace(config, init_from=str(run))
    directory = f"{run}-then{photos}-{start}"
    prepared = training.prepare(config, directory, resume=True, source=source)
    model = training.build(config, prepared, training.objects_of(config, prepared))
    metrics = training.train(config, prepared, model)
    with prepared.run.path("test.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    right = np.array([row["predicted"] == row["label"] for row in rows])
    is_new = np.array([row["label"] in new for row in rows])
    out = csv.writer(sys.stdout, lineterminator="\n")
    out.writerow(["start", "photos", "known_classes", "new_classes", "all", "seconds"])
    accuracies = [f"{part.mean():.4f}" for part in (right[~is_new], right[is_new], right)]
    out.writerow([start, photos, *accuracies, f"{metrics['seconds']:.0f}"])


if __name__ == "__main__":
    main(*sys.argv[1:])
