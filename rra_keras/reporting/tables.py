"""The figures of a report: what was seen on a split, measured."""

import keras
import numpy as np
from keras import ops
from scipy.stats import entropy

from rra_keras.explain.explainer import between_centers
from rra_keras.measures import faithfulness, localization
from rra_keras.measures.boxes import areas, intersection_over_union
from rra_keras.measures.fixations import combine, reads
from rra_keras.measures.intervals import interval
from rra_keras.measures.maps import upsample
from rra_keras.models.classifier import box_to_read

_SIDE = 112  # of the maps that are measured, pixels
_DRAWS = 20  # random boxes a photo
FOUND = 0.5  # IoU with the true box from which on an object is found


class Reader:
    """Reads photos at given boxes, as a model does at its own.

    Args:
        model: an `RRAClassifier` with a localizer.
    """

    def __init__(self, model):
        self._crop = model.zoom_crop
        features = model.view("features").output["features"]
        logits = model.classifier(model.pool(features))
        crops = model.view("crops").output["crops"]
        self._read = keras.Model(crops, logits)

    def __call__(self, images, boxes):
        """Return the logits `(B, C)` of images `(B, S, S, 3)` read at objects' boxes `(B, 4)`."""
        boxes = box_to_read(ops.convert_to_tensor(boxes, "float32"))
        crops = self._crop([ops.convert_to_tensor(images, "float32"), boxes])
        return np.asarray(self._read.predict_on_batch(crops))

    def each_refinement(self, images, seen):
        """Read a batch at the first fixation's box of each refinement, and at another photo's.

        Args:
            images: `(B, S, S, 3)`, 0…255.
            seen: their `Explanation`, with R refinements.

        Returns:
            Two arrays `(B, 1 + R, C)` of logits.
        """
        own, others = [], []
        found = between_centers(seen.found[:, 0], images.shape[1])
        for boxes in np.moveaxis(found, 1, 0):  # (B, 4)
            own.append(self(images, boxes))
            others.append(self(images, np.roll(boxes, 1, axis=0)))
        return np.stack(own, axis=1), np.stack(others, axis=1)


def refinement_table(seen, labels, own, others, boxes=None):
    """Return a row for the glance and for each refinement of the first fixation.

    Args:
        seen: the `Explanation` of N photos.
        labels: `(N,)` integers, or `(N, C)` of 0 and 1.
        own: `(N, 1 + R, C)`, logits of the photos read at the box of each.
        others: `(N, 1 + R, C)`, the same at another photo's box.
        boxes: `(N, M, 4)`, the objects' true boxes, NaN where there are fewer; or `None`.

    Returns:
        A list of dicts: `name`; `needed`, by which share of the photos; `area` of the box, a mean
        over all photos, as shares of the photo; `found`, the share of boxes with an IoU of at
        least 0.5, `None` where no box is known; `accuracy`, read there; `elsewhere`, read at
        another photo's box.
    """
    rows = []
    for r, box in enumerate(np.moveaxis(seen.found[:, 0], 1, 0)):
        rows.append(
            {
                "name": f"refinement {r}" if r else "glance",
                "needed": float(np.mean(seen.refinements[:, 0] >= r)),
                "area": float(areas(box).mean()),
                "found": _found(box[:, None], boxes),
                "accuracy": _right(own[:, r], labels),
                "elsewhere": _right(others[:, r], labels),
            }
        )
    return rows


def _right(logits, labels):
    """Return how often the greatest logit is the photo's label, or one of its labels."""
    first = logits.argmax(-1)
    if np.ndim(labels) == 1:
        return float(np.mean(first == labels))
    has_any = labels.any(axis=1)
    return float(np.mean(labels[np.arange(len(labels)), first][has_any]))


def fixation_table(seen, labels, temperature, boxes=None):
    """Return a row for each fixation, and how uneven the attention over them is.

    Args:
        seen: the `Explanation` of N photos.
        labels: `(N,)` integers.
        temperature: of the attention over fixations.
        boxes: `(N, M, 4)`, the objects' true boxes, NaN where there are fewer; or `None`.

    Returns:
        `rows`, a list of dicts: `name`; `read`, for which share of the photos; `weight`, the mean
        where it was read; `chosen`, the share of photos where it has the largest weight;
        `accuracy`, of the answers of so many fixations; `found`, the share of photos in which one
        of so many has an IoU of at least 0.5 with the true box. And `reads`, the mean; `first`, how
        often the first is right by itself; `entropy` of the weights by the most that it can
        be, over the photos with several (0: one dominates; 1: all the same), `None` without any;
        `objects_found`, the share of all true boxes that what was read found, of photos with
        several objects too.
    """
    count = seen.objects.shape[1]
    read = seen.weights > 0
    rows = []
    for k in range(count):
        answer, *_ = combine(
            seen.part_logits[:, : k + 1],
            np.zeros(read[:, : k + 1].shape),
            read[:, : k + 1],
            temperature,
        )
        rows.append(
            {
                "name": f"fixation {k + 1}",
                "read": float(read[:, k].mean()),
                "weight": float(seen.weights[read[:, k], k].mean()) if read[:, k].any() else None,
                "chosen": float(np.mean(seen.chosen == k)),
                "accuracy": float(np.mean(answer.argmax(-1) == labels)),
                "found": _found(seen.objects[:, : k + 1], boxes),
            }
        )
    several = read.sum(axis=1) > 1
    uneven = None
    if several.any():
        most = np.log(read[several].sum(axis=1))
        uneven = float(np.mean(entropy(seen.weights[several], axis=1) / most))
    return {
        "rows": rows,
        "reads": float(read.sum(axis=1).mean()),
        "first": rows[0]["accuracy"],
        "entropy": uneven,
        "objects_found": objects_found(np.where(read[..., None], seen.objects, 0.0), boxes),
    }


def cost_curve(logits, distinct, labels, temperature, points=12):
    """Return the accuracy for every number of fixations that a photo takes on average.

    Args:
        logits: `(N, K, C)`, of all fixations.
        distinct: `(N, K)`, 1 for what counts.
        labels: `(N,)` integers.
        temperature: of the attention over fixations.
        points: of the curve, at most.

    Returns:
        A list of dicts by rising cost: `sure_from`, the evidence that is enough; `reads` a photo;
        `accuracy`.
    """
    evidence = logits.max(axis=-1)
    scores = np.zeros(distinct.shape)
    curve = []
    for sure_from in np.unique(np.quantile(evidence[:, 0], np.linspace(0, 1, points - 1))).tolist():
        read = reads(evidence, distinct, sure_from)
        answer, *_ = combine(logits, scores, distinct, temperature, sure_from)
        curve.append(
            {
                "sure_from": sure_from,
                "reads": float(read.sum(axis=1).mean()),
                "accuracy": float(np.mean(answer.argmax(-1) == labels)),
            }
        )
    answer, *_ = combine(logits, scores, distinct, temperature)
    every = float(np.sum(distinct, axis=1).mean())
    accuracy = float(np.mean(answer.argmax(-1) == labels))
    return [*curve, {"sure_from": None, "reads": every, "accuracy": accuracy}]


def _found(found, boxes):
    """Return the share of photos in which one of the boxes `(N, K, 4)` is one of the true ones."""
    if boxes is None or not (known := ~np.isnan(boxes[..., 0]).all(axis=1)).any():
        return None
    return float(np.mean(_overlaps(found[known], boxes[known]).max(axis=(1, 2)) >= FOUND))


def objects_found(found, boxes):
    """Return the share of the true boxes `(N, M, 4)` that one of `(N, K, 4)` is."""
    if boxes is None or np.isnan(boxes).all():
        return None
    best = _overlaps(found, boxes).max(axis=1)  # (N, M)
    return float(np.mean(best[~np.isnan(boxes[..., 0])] >= FOUND))


def _overlaps(found, boxes):
    """Return IoUs `(N, K, M)`; 0 where there is no true box."""
    overlap = intersection_over_union(found[:, :, None], np.nan_to_num(boxes)[:, None])
    return np.where(np.isnan(boxes[:, None, :, 0]), 0.0, overlap)


def step_table(seen, labels):
    """Return what each part says by itself: `name`, mean `weight`, `accuracy`."""
    right = seen.part_logits.argmax(-1) == labels[:, None]  # (N, M)
    return [
        {
            "name": name,
            "weight": float(seen.weights[:, m].mean()),
            "accuracy": float(right[:, m].mean()),
        }
        for m, name in enumerate(seen.part_names)
    ]


def localization_table(seen, boxes, seed=0, progress=iter):
    """Return how well what was read finds what the boxes enclose, beside what knows nothing.

    The map of evidence is measured by MaxBoxAcc, MaxBoxAccV2 and the pointing game (does the
    greatest value lie in the box?). A fixation's own box needs no threshold; its center does the
    pointing. Beside it stand a box of its size in the middle, and one anywhere, the mean of 20
    draws.

    Args:
        seen: `Explanation` of N photos.
        boxes: `Boxes` of the same photos.
        seed: of the random boxes.
        progress: wraps the loop over photos.

    Returns:
        a list of dicts: `name` for display, `own` (found by the model, not what it is compared
        with), `max_box_acc`, `max_box_acc_v2`, `pointing`, `area` (a box's mean share of the photo)
        and `part_hit` (the share of the parts that distinguish classes which a box encloses whole);
        `None` for what does not apply.
    """
    known = np.flatnonzero(boxes.known)
    objects = boxes.largest[known]
    parts = None if boxes.parts is None else boxes.parts[known]
    largest, best, points = [], [], []
    for index in progress(known):
        values = seen[[index]].answer_map(_SIDE)
        found = localization.threshold_ious(values, boxes.largest[[index]])
        largest.append(found[0])
        best.append(found[1])
        points.append(localization.peaks(values))
    inside = localization.hits(np.concatenate(points), objects)
    rows = [_row("evidence", True, np.concatenate(largest), np.concatenate(best), inside)]
    if not seen.objects.shape[1]:
        return rows
    rng = np.random.default_rng(seed)
    chosen = seen.objects[known, seen.chosen[known]]
    again = np.tile(chosen, (_DRAWS, 1))
    for name, found in (
        ("first fixation", seen.objects[known, 0]),
        ("chosen fixation", chosen),
        ("same size, in the middle", localization.center_boxes(chosen)),
        ("same size, anywhere", localization.random_boxes(again, rng)),
    ):
        truth = np.tile(objects, (len(found) // len(chosen), 1))
        overlap = intersection_over_union(found, truth)[:, None]
        inside = localization.hits(localization.centers(found), truth)
        row = _row(name, name.endswith("fixation"), overlap, overlap, inside, areas(found))
        if parts is not None:
            truth = np.tile(parts, (len(found) // len(chosen), 1, 1))  # (…, P, 4)
            row["part_hit"] = float(localization.contains(found[:, None], truth).mean())
        rows.append(row)
    return rows


def _row(name, own, largest, best, inside, area=None):
    return {
        "name": name,
        "own": own,
        "max_box_acc": localization.max_box_acc(largest),
        "max_box_acc_v2": localization.max_box_acc_v2(best),
        "pointing": float(inside.mean()),
        "area": None if area is None else float(area.mean()),
        "part_hit": None,
    }


def faithfulness_table(seen, images, predict, seed=0, progress=iter):
    """Return what happens to the answer as that which each map marks is deleted or inserted.

    Args:
        seen: `Explanation` of N photos.
        images: yields the same N photos, `(S, S, 3)`, RGB 0…255.
        predict: photos `(K, S, S, 3)` → logits `(K, C)`.
        seed: of the random maps.
        progress: wraps the loop over photos.

    Returns:
        a list of dicts, one a map: `name`, `own`; mean `deletion` and `insertion` area under the
        curve; their means over the random map's, `deletion_gain` (below it) and `insertion_gain`
        (above it), with 95 % intervals over photos; and the mean `deletion_curve` and
        `insertion_curve`.
    """
    rng = np.random.default_rng(seed)
    grid = seen.maps.shape[2:]
    results = []
    for index, image in progress(enumerate(images)):
        one = seen[[index]]
        # As coarse as a map, so that it deletes patches and not single pixels.
        ties, random = upsample(rng.uniform(size=(2, *grid)), _SIDE)
        maps = {
            "evidence": one.answer_map(_SIDE)[0],
            "chosen part": one.maps_in_image(_SIDE)[0, one.chosen[0]],
            "middle first": faithfulness.center_map(_SIDE),
            "random": random,
        }
        stacked = np.stack(list(maps.values()))
        results.append(np.stack(faithfulness.curves(predict, image, one.classes[0], stacked, ties)))
    results = np.stack(results, axis=2)  # (2, M, N, K)
    under = faithfulness.area_under(results)  # (2, M, N)
    rows = []
    for m, name in enumerate(maps):
        row = {"name": name, "own": m < 2}
        for kind, sign, which in (("deletion", -1, 0), ("insertion", 1, 1)):
            gain = sign * (under[which, m] - under[which, -1])
            row |= {
                kind: float(under[which, m].mean()),
                f"{kind}_gain": float(gain.mean()),
                f"{kind}_interval": interval(gain, seed=seed),
                f"{kind}_curve": results[which, m].mean(axis=0).tolist(),
            }
        rows.append(row)
    return rows
