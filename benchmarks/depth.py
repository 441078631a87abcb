"""What it is worth to look closer again: `python benchmarks/depth.py RUN [DATASET …]`.

On the test split of the run's own data set or of those given, which have its classes and are
resized to its images, and on all of them together: accuracy and multiply-adds an image where every
photo is refined 0, 1, … times, and where each photo is looked at until its object takes enough of
what was seen. Prints a CSV, each rule's gain over the one before with its standard error, paired by
photo; `until framed` 0.6 is what the model does by itself.
"""

import csv
import sys

import keras
import numpy as np
from keras import ops

from export.inference import Signatures
from rra_keras import cli
from rra_keras.data import pipeline
from rra_keras.models import costs
from rra_keras.models.framing import FRAMED, view_around, with_margin
from rra_keras.runs import Run

BATCH = 16
COLUMNS = (
    *("dataset", "photos", "rule", "value", "refinements", "multiply_adds"),
    *("accuracy", "gain", "standard_error"),
)
ENOUGH = (0.2, 0.3, 0.4, 0.5, FRAMED, 0.7, 0.8, 0.9)  # longer side of the object, by its view's


def at_every_depth(model):
    """Return a model from images to what each number of refinements gives, of all photos alike.

    `logits` `(B, 1 + refinements, C)`, and `shares` `(B, 1 + refinements)`: the longer side of the
    object as a share of that of the view that it was found in.
    """
    framing, images = model.framing, model.inputs[0]
    seen = model.view("glance_logits", "object_boxes").output
    read, box, view = Signatures(model).read, seen["object_boxes"][:, 0], None
    logits, shares = [], []
    for depth in range(1 + framing.refinements):
        if depth:
            view = view_around(box, view)
            box, _ = framing.find(framing.zoom_frame([images, view]), view)
        extent = _sides(box) if view is None else _sides(box) / _sides(view)
        shares.append(ops.max(extent, axis=-1))
        crop = framing.zoom_crop([images, with_margin(box)])
        logits.append(read(crop, seen["glance_logits"])["logits"])
    outputs = {"logits": ops.stack(logits, axis=1), "shares": ops.stack(shares, axis=1)}
    return keras.Model(images, outputs)


def _sides(box):
    return box[:, 2:] - box[:, :2]  # (B, 2)


def look(model, split, classes):
    """Return which photos of a split are named rightly, and `shares`, `(N, 1 + refinements)`."""
    right, shares = [], []
    batches = pipeline.evaluation_batches(split, model.input_shape[1], BATCH, classes)
    for images, one_hot in batches:
        seen = model.predict_on_batch(images)
        labels = np.argmax(one_hot, axis=-1)
        right.append(np.argmax(seen["logits"], axis=-1) == labels[:, None])
        shares.append(seen["shares"])
    return np.concatenate(right), np.concatenate(shares)


def rules(shares):
    """Yield how far to look, `(N,)` refinements, by every rule: its name, its value, and those."""
    count, depth = shares.shape
    for refinements in range(depth):
        yield "refinements", refinements, np.full(count, refinements)
    for enough in ENOUGH:
        framed = np.concatenate([shares[:, :-1] >= enough, np.ones((count, 1), bool)], axis=1)
        yield "until framed", enough, framed.argmax(axis=1)


def main(directory, *datasets):
    """Print accuracy against cost."""
    with cli.bad_input_exits():
        run = Run.open(directory)
        model = run.load_model()
        if not model.learns_where or model.looks != 1:
            raise ValueError(f"Expected a run of one look that finds its object. Received: {run}")
        datasets = datasets or (run.config["dataset"],)
        splits = [run.load_data(name).splits["test"] for name in datasets]
    config = model.get_config()
    least, one = (
        costs.multiply_adds(model.from_config({**config, "refinements": n})) for n in (0, 1)
    )
    seer = at_every_depth(model)
    seen = {
        name: look(seer, split, model.num_classes)
        for name, split in zip(datasets, splits, strict=True)
    }
    if len(seen) > 1:
        seen["all"] = tuple(map(np.concatenate, zip(*seen.values(), strict=True)))
    out = csv.writer(sys.stdout, lineterminator="\n")
    out.writerow(COLUMNS)
    for name, (right, shares) in seen.items():
        before = right[:, 0]
        for rule, value, depths in rules(shares):
            named = np.take_along_axis(right, depths[:, None], axis=1)[:, 0]
            gain = np.float64(named) - before
            spent = least + (one - least) * depths.mean()
            values = named.mean(), gain.mean(), gain.std() / np.sqrt(len(gain))
            row = [name, len(right), rule, value, f"{depths.mean():.2f}", f"{spent:.0f}"]
            out.writerow([*row, *(f"{value:.4f}" for value in values)])
            before = named


if __name__ == "__main__":
    main(*sys.argv[1:])
