"""Take a trained run's parts away: `python benchmarks/ablate.py RUN [BOXES.csv]`.

On the test split, with the run's own weights: other boxes for its first look (of the same mean
size: in the middle, anywhere; the true box, where a file of boxes is given; with a localizer that
learned, what it found in the glance, and after each refinement but the last); the last step or the
mean of all in place of attention; the crops' linear vote or the recurrence alone. Prints a CSV,
with the difference from the whole model and its standard error, paired by photo; and, of each look,
image pixels per crop pixel; with true boxes, how well the objects were found.
"""

import csv
import pathlib
import sys

import keras
import numpy as np
from keras import ops

from rra_keras.data import pipeline
from rra_keras.layers.boxes import box_around, grow_box, sides
from rra_keras.measures.localization import intersection_over_union
from rra_keras.models.framing import PATCH_MARGIN
from rra_keras.reporting import sample
from rra_keras.runs import Run

MARGIN = 1.15  # of the true box, on each axis
BATCH = 32


def framed(boxes, aspect):
    """Return the smallest boxes `(N, 4)` of an aspect around true ones and their margin."""
    share_y, share_x = sides(aspect)
    y0, x0, y1, x1 = np.split(boxes, 4, axis=-1)  # (N, 1) each
    half = MARGIN / 2 * np.maximum((y1 - y0) / share_y, (x1 - x0) / share_x)
    half = np.minimum(half, 0.5)
    return np.asarray(box_around((y0 + y1) / 2, (x0 + x1) / 2, half * share_y, half * share_x))


def grown(boxes):
    """Return object boxes `(N, 4)` as a look takes them."""
    return np.clip(ops.convert_to_numpy(grow_box(boxes, PATCH_MARGIN)), 0, 1)


def main(directory, boxes_file=None):
    """Print the test accuracy of a run, and of the run less one of its parts."""
    run = Run.open(directory)
    test, true_boxes, _ = sample.load(run, boxes=boxes_file)
    model = run.load_model()
    source, box = model.inputs[0], model.view("look_1_box").output["look_1_box"]
    looks = [f"look_{look}_features" for look in range(1, model.looks + 1)]
    names = ["logits", "glance_logits", "look_logits", "step_logits", "boxes", *looks]
    if model.learns_where:
        names += ["object_boxes", "refined"]
    tensors = model.view(*names).output
    whole = keras.Model(source, tensors)
    at_boxes = keras.Model([source, box], tensors["logits"])

    aspect = model.patch_size[1] / model.patch_size[0]
    # Decoded anew for each row: large photos of a whole split would fill the memory.
    batches = pipeline.evaluation_batches(test, model.image_size, BATCH, model.num_classes)
    labels, seen = [], []
    for images, one_hot in batches:
        labels.append(one_hot.numpy().argmax(-1))
        seen.append(whole.predict_on_batch(images))
        for name in looks:  # pooled at once, for the same reason
            seen[-1][name] = np.mean(seen[-1][name], axis=(1, 2))
    labels = np.concatenate(labels)
    seen = {name: np.concatenate([np.asarray(part[name]) for part in seen]) for name in names}
    extent = seen["boxes"][..., 2:] - seen["boxes"][..., :2]  # (N, looks, 2)
    half = extent[:, 0].mean(axis=0) / 2  # (2,)
    centers = np.random.default_rng(0).uniform(half, 1 - half, (len(labels), 2))
    middle = np.full_like(centers, 0.5)
    others = {
        "in the middle": np.concatenate([middle - half, middle + half], axis=1),
        "anywhere": np.concatenate([centers - half, centers + half], axis=1),
    }
    if model.learns_where:
        for i in range(seen["object_boxes"].shape[1] - 1):
            others[f"refined {i} times"] = grown(seen["object_boxes"][:, i])
    if true_boxes is not None:
        true = true_boxes.objects
        others["true box"] = grown(true) if model.learns_where else framed(true, aspect)

    def right(logits):
        return logits.argmax(-1) == labels  # (N,)

    steps = seen["glance_logits"][:, None] + model.look_weight * seen["step_logits"]
    classifier = model.vote_classifier
    vote = np.mean([np.asarray(classifier(seen[name])) for name in looks], axis=0)
    rows = {
        "whole": right(seen["logits"]),
        "glance alone": right(seen["glance_logits"]),
        "looks alone": right(seen["look_logits"]),
        "last step": right(steps[:, -1]),
        "steps weighed alike": right(steps.mean(axis=1)),
        "vote without recurrence": right(seen["glance_logits"] + model.look_weight * vote),
        "recurrence without vote": right(seen["logits"] - model.look_weight * vote),
    }
    for name, boxes in others.items():
        parts = np.split(boxes.astype("float32"), range(BATCH, len(boxes), BATCH))
        said = [
            at_boxes.predict_on_batch([images, part])
            for (images, _), part in zip(batches, parts, strict=True)
        ]
        rows[name] = right(np.concatenate([ops.convert_to_numpy(part) for part in said]))
    out = csv.writer(sys.stdout, lineterminator="\n")
    out.writerow(["run", "part", "test_accuracy", "difference", "standard_error"])
    for name, answers in rows.items():
        less = np.float64(answers) - rows["whole"]  # paired by photo
        values = answers.mean(), less.mean(), less.std() / np.sqrt(len(less))
        out.writerow([pathlib.Path(directory).name, name, *(f"{value:.4f}" for value in values)])
    pixels = extent * (model.image_size - 1) / (np.array(model.patch_size) - 1)
    for look, values in enumerate(pixels.mean(axis=(0, 2)), 1):
        print(f"look {look}: {values:.2f} image pixels per crop pixel", file=sys.stderr)
    if model.learns_where:
        extent = np.diff(seen["object_boxes"].reshape(len(labels), -1, 2, 2), axis=2)
        area = ", ".join(f"{share:.1%}" for share in np.prod(extent, axis=(2, 3)).mean(axis=0))
        print(
            f"refinements needed: {seen['refined'].mean():.2f}; box area: {area}", file=sys.stderr
        )
    if model.learns_where and true_boxes is not None:
        for i, boxes in enumerate(seen["object_boxes"].swapaxes(0, 1)):
            found = intersection_over_union(boxes, true_boxes.objects)
            shares = [f"{np.mean(found >= least):.1%} at least {least}" for least in (0.5, 0.7)]
            print(f"object box {i}: IoU {found.mean():.3f}, {', '.join(shares)}", file=sys.stderr)


if __name__ == "__main__":
    main(*sys.argv[1:])
