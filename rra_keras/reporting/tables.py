"""The figures of a report: what was seen on a split, measured."""

import numpy as np

from rra_keras.measures import coarse_to_fine, faithfulness, localization
from rra_keras.measures.maps import WHOLE, areas, edges, paste, upsample

_SIDE = 112  # of the maps that are measured, pixels
_CHUNK = 32  # images whose maps are held at a time
_DRAWS = 20  # random boxes an image

# The kinds of rows that the looks found; the others are what they are compared with.
OWN = {"step_map", "steps_map", "answer_map", "look_activation", "look_box"}


def attention_table(seen, labels):
    """Return what each step is worth, and what the attention makes of them.

    Args:
        seen: `Explanation` of N images.
        labels: `(N,)` integers.

    Returns:
        dict of lists with one value a step: its mean `weight`; the share of images where it has
        the `greatest` weight; the `accuracy` with that step in place of all. And of accuracies:
        `glance`, `answer`, and `even`, all steps weighing the same.
    """
    right = seen.course().argmax(-1) == labels[:, None]  # (N, 2 + T)
    total = right.shape[1] - 2
    even = seen.glance_logits + seen.look_weight * seen.step_logits.mean(axis=1) if total else None
    top = np.bincount(seen.step_weights.argmax(-1), minlength=total) if total else np.zeros(0)
    return {
        "glance": float(right[:, 0].mean()),
        "answer": float(right[:, -1].mean()),
        "even": float(np.mean(even.argmax(-1) == labels)) if total else None,
        "weight": seen.step_weights.mean(axis=0).tolist(),
        "greatest": (top / len(labels)).tolist(),
        "accuracy": right[:, 1:-1].mean(axis=0).tolist(),
    }


def localization_table(seen, boxes, image_size, activations=None, seed=0, progress=iter):
    """Return how well maps and looks find what the boxes enclose, beside what knows nothing.

    Maps, of evidence and of activation whatever the class, are measured by MaxBoxAcc, MaxBoxAccV2
    and the pointing game (does the greatest value lie in the box?). A look's own box needs no
    threshold; its center does the pointing. Beside each look stand a box of its size in the
    middle, and one anywhere, the mean of 20 draws.

    Args:
        seen: `Explanation` of N images.
        boxes: `Boxes` of the same images.
        image_size: side of the images in pixels.
        activations: `(N, 1 + looks, h, w)` from `activation.activations`; not measured if `None`.
        seed: of the random boxes.
        progress: wraps the loop over images.

    Returns:
        a list of dicts: `kind`, `name` for display, `own` (found by the looks, not what they are
        compared with), `max_box_acc`, `max_box_acc_v2`, `pointing`, `area` (a box's mean
        share of the image) and `part_hit` (the share of the parts that tell which a box encloses
        whole); `None` for what does not apply.
    """
    known = np.flatnonzero(~np.isnan(boxes.objects).any(axis=1))
    objects = boxes.objects[known]
    parts = None if boxes.parts is None else boxes.parts[known]
    found_by = [("glance_map", "plain CAM (the glance)")]
    if seen.looks:
        found_by += [("steps_map", "steps, as weighed"), ("answer_map", "glance and steps")]
    if activations is not None:
        found_by += [("whole_activation", "activation, whole photo")]
        found_by += [
            ("look_activation", f"activation, look {look + 1}") for look in range(seen.looks)
        ]
    ious = [([], []) for _ in found_by]
    points = [[] for _ in found_by]
    for index in progress(known):
        one = seen[[index]]
        maps = [upsample(one.glance_map, _SIDE)]
        if seen.looks:
            maps += [one.combined_map(_SIDE), one.answer_map(_SIDE)]
        if activations is not None:
            pasted = paste(activations[index], [WHOLE, *seen.boxes[index]], _SIDE)
            maps.extend(pasted[:, None])  # (1, G, G) each
        for i, values in enumerate(maps):
            found = localization.threshold_ious(values, boxes.objects[[index]])
            for kept, new in zip(ious[i], found, strict=True):
                kept.append(new)
            points[i].append(localization.peaks(values))
    rows = []
    for i, (kind, name) in enumerate(found_by):
        largest, best = (np.concatenate(kept) for kept in ious[i])
        inside = localization.hits(np.concatenate(points[i]), objects)
        rows.append(_row(kind, name, largest, best, inside))
    rng = np.random.default_rng(seed)
    for look in range(seen.looks):
        own = edges(seen.boxes[known, look], image_size)
        again = np.tile(own, (_DRAWS, 1))
        for kind, name, found in (
            ("look_box", f"look {look + 1}", own),
            ("center_box", "same size, in the middle", localization.center_boxes(own)),
            ("random_box", "same size, anywhere", localization.random_boxes(again, rng)),
        ):
            truth = np.tile(objects, (len(found) // len(own), 1))
            overlap = localization.intersection_over_union(found, truth)[:, None]
            inside = localization.hits(localization.centers(found), truth)
            row = _row(kind, name, overlap, overlap, inside, areas(found))
            if parts is not None:
                truth = np.tile(parts, (len(found) // len(own), 1, 1))  # (…, P, 4)
                row["part_hit"] = float(localization.contains(found[:, None], truth).mean())
            rows.append(row)
    return rows


def _row(kind, name, largest, best, inside, area=None):
    return {
        "kind": kind,
        "own": kind in OWN,
        "name": name,
        "max_box_acc": localization.max_box_acc(largest),
        "max_box_acc_v2": localization.max_box_acc_v2(best),
        "pointing": float(inside.mean()),
        "area": None if area is None else float(area.mean()),
        "part_hit": None,
    }


def faithfulness_table(seen, images, predict, seed=0, progress=iter):
    """Return what happens to the answer as that which each map marks is deleted or inserted.

    Args:
        seen: `Explanation` of N images.
        images: yields the same N images, `(S, S, 3)`, RGB 0…255.
        predict: images `(K, S, S, 3)` → logits `(K, C)`.
        seed: of the random maps.
        progress: wraps the loop over images.

    Returns:
        a list of dicts, one a map: `kind`, `name` for display, `own`; mean `deletion` and
        `insertion` area under the curve; their means over the random map's, `deletion_gain` (below
        it) and `insertion_gain` (above it), with 95 % intervals over images; and the mean
        `deletion_curve` and `insertion_curve`.
    """
    rng = np.random.default_rng(seed)
    grid = seen.glance_map.shape[1:]
    results = []
    for index, image in progress(enumerate(images)):
        one = seen[[index]]
        # As coarse as a map, so that it deletes patches and not single pixels.
        ties, random = upsample(rng.uniform(size=(2, *grid)), _SIDE)
        glance, *steps = one.maps_in_image(_SIDE)[0]
        maps = [("glance_map", "glance", glance)]
        maps += [("step_map", f"step {t + 1}", values) for t, values in enumerate(steps)]
        if steps:
            maps.append(("steps_map", "steps, as weighed", one.combined_map(_SIDE)[0]))
            maps.append(("answer_map", "glance and steps", one.answer_map(_SIDE)[0]))
        maps.append(("center_map", "middle first", faithfulness.center_map(_SIDE)))
        maps.append(("random_map", "random", random))
        stacked = np.stack([values for *_, values in maps])
        results.append(np.stack(faithfulness.curves(predict, image, one.classes[0], stacked, ties)))
    results = np.stack(results, axis=2)  # (2, M, N, K)
    under = faithfulness.area_under(results)  # (2, M, N)
    rows = []
    for m, (kind, name, _) in enumerate(maps):
        row = {"kind": kind, "own": kind in OWN, "name": name}
        for kind, sign, which in (("deletion", -1, 0), ("insertion", 1, 1)):
            gain = sign * (under[which, m] - under[which, -1])
            row |= {
                kind: float(under[which, m].mean()),
                f"{kind}_gain": float(gain.mean()),
                f"{kind}_interval": coarse_to_fine.interval(gain, seed=seed),
                f"{kind}_curve": results[which, m].mean(axis=0).tolist(),
            }
        rows.append(row)
    return rows


def coarse_to_fine_table(seen, seed=0):
    """Return whether focus narrows: from the glance over all steps, and among a look's own steps.

    Between looks a map must narrow, as each box lies inside the one before. What the recurrence
    does shows among the steps of one look, whose box is the same.

    Args:
        seen: `Explanation` of N images, with one look or more.
        seed: of bootstrap and shuffling.

    Returns:
        dict of `area` (of the map above half its maximum) and `entropy`: each a list of `trend`s,
        with a `kind` (`"course"`, from the glance to the last step, or `"look"`, its own steps)
        and a `name` for display. And for each look: `box_area`, its
        mean and 95 % interval, and `likeness`, the mean correlation of its first and last maps.
    """
    measures = {"area": [], "entropy": []}
    for start in range(0, len(seen.classes), _CHUNK):
        maps = seen[np.arange(start, min(start + _CHUNK, len(seen.classes)))].maps_in_image(_SIDE)
        measures["area"].append(coarse_to_fine.area_above_half(maps))
        measures["entropy"].append(coarse_to_fine.entropy(maps))
    measures = {name: np.concatenate(values) for name, values in measures.items()}  # (N, 1 + T)
    steps = seen.step_logits.shape[1] // seen.looks
    spans = [("course", "glance to last step", slice(None))]
    if steps > 1:
        spans += [
            ("look", f"look {k + 1}, its steps", slice(1 + k * steps, 1 + (k + 1) * steps))
            for k in range(seen.looks)
        ]
    table = {
        measure: [
            {"kind": kind, "name": name, **coarse_to_fine.trend(values[:, at], seed=seed)}
            for kind, name, at in spans
        ]
        for measure, values in measures.items()
    }
    box_areas = areas(seen.boxes).astype("float64")  # (N, looks)
    table["box_area"] = [
        {
            "mean": float(column.mean()),
            "interval": coarse_to_fine.interval(column, seed=seed),
        }
        for column in box_areas.T
    ]
    firsts = seen.step_maps[:, ::steps], seen.step_maps[:, steps - 1 :: steps]
    table["likeness"] = np.nanmean(_correlations(*firsts), axis=0).tolist()
    return table


def _correlations(maps, others):
    """Return the correlation of maps `(N, L, h, w)` with others; NaN where one is constant."""
    flat = [m.reshape(*m.shape[:2], -1).astype("float64") for m in (maps, others)]
    flat = [m - m.mean(axis=-1, keepdims=True) for m in flat]
    norms = [np.linalg.norm(m, axis=-1) for m in flat]
    with np.errstate(invalid="ignore"):  # 0 / 0
        return np.sum(flat[0] * flat[1], axis=-1) / (norms[0] * norms[1])
