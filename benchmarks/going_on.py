"""Learn more classes: `python benchmarks/going_on.py --run=RUN --photos=20 [--from_imagenet]`.

RUN was trained without some classes of its data set (`measure.py --held_out=5`). Training goes on
from it with all classes: the known ones with all their training photos, each new one with so many.
With --from_imagenet it starts anew with the same photos. Prints a CSV: test accuracy on the photos
of known classes and on those of new ones, among all classes.
"""

import csv
import dataclasses
import sys

import numpy as np
from absl import app, flags

_RUN = flags.DEFINE_string("run", None, "Run without some classes.", required=True)
_PHOTOS = flags.DEFINE_integer("photos", 20, "Training photos of each new class.", lower_bound=1)
_FROM_IMAGENET = flags.DEFINE_bool("from_imagenet", False, "Start anew.")


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


def main(_):
    """Train, and print how well known and new classes are told."""
    from rra_keras import data, training
    from rra_keras.training.config import Config
    from rra_keras.training.run import Run

    run = Run.open(_RUN.value)
    config = Config(**run.config)
    whole = data.load(config.dataset, group_regex=config.group_regex, seed=config.seed)
    new = [name for name in whole.class_names if name not in run.class_names]
    if not new:
        sys.exit(f"error: --run: expected one without some classes, received {run} with all")
    known = len(run.class_names)
    source = few(whole.of_classes([*run.class_names, *new]), known, _PHOTOS.value)
    if not _FROM_IMAGENET.value:
        config = dataclasses.replace(config, init_from=str(run))
    start = "imagenet" if _FROM_IMAGENET.value else "run"
    directory = f"{str(run).rstrip('/')}-then{_PHOTOS.value}-{start}"
    prepared = training.prepare(config, directory, resume=True, source=source)
    metrics = training.train(config, training.adapt(config, prepared))
    with prepared.run.path("test.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    right = np.array([row["logits"] == row["label"] for row in rows])
    is_new = np.array([row["label"] in new for row in rows])
    out = csv.writer(sys.stdout, lineterminator="\n")
    out.writerow(["start", "photos", "known_classes", "new_classes", "all", "seconds"])
    accuracies = [f"{part.mean():.4f}" for part in (right[~is_new], right[is_new], right)]
    out.writerow([start, _PHOTOS.value, *accuracies, f"{metrics['seconds']:.0f}"])


if __name__ == "__main__":
    app.run(main)
