"""Guesses at where the objects of photos are, at several depths."""

import dataclasses

import numpy as np

from rra_keras.discovery import colocalize
from rra_keras.discovery.observe import observe
from rra_keras.layers.boxes import box_in_box, grow_box
from rra_keras.measures.boxes import whole

THRESHOLDS = {"set": 0.3, "class": 0.25, "norm": 0.3}  # of a map's maximum, by hypothesis
DEEPEST = 4  # times that objects are looked for, each inside of what was found before
FILLED = 0.35  # longer side of the objects, as a share of the views', that is close enough
MARGIN = 0.5  # of a box's sides, added before looking inside it


@dataclasses.dataclass(frozen=True)
class Guess:
    """Where the objects of N photos may be.

    Attributes:
        boxes: `(N, 4)` float32, `y0 x0 y1 x1` in [0, 1] of the photos.
        confidence: `(N,)` float32 in [0, 1].
        views: `(N, 4)`, the parts of the photos in which they were looked for.
    """

    boxes: np.ndarray
    confidence: np.ndarray
    views: np.ndarray


def hypothesize(coarse, fine, labels=None):
    """Guess where the objects are in several ways.

    - `"set"`: what all photos have in common: the coarse map's (`common_maps`), what the fine
      features tell of it (`guided_maps`), and their own (`agreeing_maps`).
    - `"class"`: what the photos of each class have in common (`class_maps`), given `labels`.
    - `"norm"`: what excites the network (`norm_maps`).

    Args:
        coarse: `Observed` of the final feature map, of N photos.
        fine: `Observed` of a map of higher resolution.
        labels: `(N, C)` of 0 and 1.

    Returns:
        Name → `(boxes, confidence)` as `boxes_of_maps` returns them.
    """
    depths = (coarse, fine)
    common = colocalize.common_maps(coarse.features)
    guided = colocalize.guided_maps(fine.features, common)
    maps = {"set": [common, guided, colocalize.agreeing_maps(fine.features, common)]}
    if labels is not None:
        maps["class"] = [colocalize.class_maps(depth.features, labels) for depth in depths]
    maps["norm"] = [colocalize.norm_maps(depth.norms) for depth in depths]
    return {
        name: colocalize.boxes_of_maps(colocalize.combine(*several), THRESHOLDS[name])
        for name, several in maps.items()
    }


def guess(encoder, photos, labels=None, seed=0):
    """Guess where objects are in the photos, then inside of that, until they fill their views.

    1. `observe` and `hypothesize` in the views: at first the whole photos.
    2. While the longer side of the `"set"` boxes takes less than 0.35 of the views', at the
       median: the views become these boxes, grown by a half, and again; four times at most.

    What is small in a photo is a cell or two of a feature map; closer, it has a shape.

    Args:
        encoder: a `keras.Model` from images `(B, S, S, 3)`, 0…255, to `[coarse, fine]`, as
            `build_encoder(..., fine_features=True)` returns.
        photos: `(N, S, S, 3)`, 0…255.
        labels: `(N, C)` of 0 and 1, or `None`.
        seed: sets which photos are drawn for what.

    Returns:
        Name → `Guess`, of the first depth by the names of `hypothesize`, of deeper ones `set_2` and
        so on.
    """
    views = whole(len(photos))
    guesses = {}
    for depth in range(1, DEEPEST + 1):
        found = hypothesize(*observe(encoder, photos, views, seed=seed), labels)
        for name, (boxes, confidence) in found.items():
            name = name if depth == 1 else f"{name}_{depth}"
            guesses[name] = Guess(np.asarray(box_in_box(views, boxes)), confidence, views)
        boxes, _ = found["set"]
        if np.median((boxes[:, 2:] - boxes[:, :2]).max(axis=1)) >= FILLED:
            break
        views = np.asarray(grow_box(np.asarray(box_in_box(views, boxes)), MARGIN))
    return guesses
