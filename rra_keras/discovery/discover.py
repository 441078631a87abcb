"""From photos to the boxes of their objects, or to the word that they hold no one object."""

import dataclasses

import numpy as np

from rra_keras.discovery import colocalize
from rra_keras.discovery.observe import observe
from rra_keras.discovery.probe import FRAME, Choice, choose_hypothesis
from rra_keras.discovery.views import whole
from rra_keras.layers.boxes import box_in_box, grow_box

THRESHOLDS = {"set": 0.3, "class": 0.25, "norm": 0.3}  # of a map's maximum, by hypothesis
PROBED = 600  # photos that the probe compares hypotheses on
DEEPEST = 4  # times that objects are looked for, each inside of what was found before
FRAMED = 0.35  # longer side of the objects, as a share of the views', that is close enough
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


@dataclasses.dataclass(frozen=True)
class Objects:
    """What was found in N photos.

    Example:
        objects = discovery.Objects(boxes, np.ones(2), "set")
        surest = objects.boxes[objects.confidence.argmax()]

    Attributes:
        boxes: `(N, 4)` float32, `y0 x0 y1 x1` in [0, 1].
        confidence: `(N,)` float32 in [0, 1], the share of the map's mass inside the box.
        name: the hypothesis that the boxes are of: `"set"`, `"class"`, `"norm"` or `"frame"`; with
            `_2`, `_3` or `_4` where they were found at such a depth.
        choice: the probe's `Choice`; `None` where there were no labels to probe with.
    """

    boxes: np.ndarray
    confidence: np.ndarray
    name: str
    choice: Choice | None = None

    @property
    def area(self):
        """The boxes' mean area, as a share of the frame."""
        return float(np.prod(self.boxes[:, 2:] - self.boxes[:, :2], axis=1).mean())


def hypothesize(coarse, fine, labels=None):
    """Guess where the objects are in several ways.

    - `"set"`: what all photos have in common: the coarse map's (`common_maps`), what the fine
      features tell of it (`guided_maps`), and their own (`agreeing_maps`).
    - `"class"`: what the photos of each class have in common (`class_maps`), given `labels`.
    - `"norm"`: what excites the network (`norm_maps`).

    Args:
        coarse: `Observed` of the final feature map, of N photos.
        fine: `Observed` of a map of higher resolution.
        labels: `(N,)` integers.

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


def look_inside(encoder, photos, labels=None, seed=0):
    """Look for objects in the photos, then inside of what was found, until they fill their views.

    1. `observe` and `hypothesize` in the views: at first the whole photos.
    2. While the longer side of the `"set"` boxes takes less than 0.35 of the views', at the
       median: the views become these boxes, grown by a half, and again; four times at most.

    What is small in a photo is a cell or two of a feature map; closer, it has a shape.

    Args:
        encoder: see `discover_objects`.
        photos: `(N, S, S, 3)`, 0…255.
        labels: `(N,)` integers, or `None`.
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
        if np.median((boxes[:, 2:] - boxes[:, :2]).max(axis=1)) >= FRAMED:
            break
        views = np.asarray(grow_box(np.asarray(box_in_box(views, boxes)), MARGIN))
    return guesses


def discover_objects(encoder, trunk, photos, labels=None, size=128, seed=0):
    """Find the object in each photo, or that the photos are better seen whole.

    1. The frozen encoder sees each photo, and closer where objects are small in it: hypotheses
       (`look_inside`).
    2. With labels, a linear probe on up to 600 of the photos picks one whose crops tell most of
       the classes, or the whole frame (`choose_hypothesis`). Without, or where no class has two
       photos to compare, it is the deepest `"set"`.

    Some 1,000 photos are enough to fit a localizer, which then finds objects in all others.

    Example:
        encoder = backbones.build_encoder(
            "efficientnet_lite0", "imagenet", train_from="block_11", fine_features=True
        )
        trunk = backbones.build_trunk(encoder, "block_11")
        found = discovery.discover_objects(encoder, trunk, images, size=32).boxes  # (9, 4)

    Args:
        encoder: a `keras.Model` from images `(B, S, S, 3)`, 0…255, to `[coarse, fine]`, as
            `build_encoder(..., fine_features=True)` returns.
        trunk: its early layers (`build_trunk`).
        photos: `(N, S, S, 3)`, 0…255.
        labels: `(N,)` integers, or `None`.
        size: side of the probe's glances and crops, pixels.
        seed: sets which photos are drawn for what.

    Returns:
        `Objects`.
    """
    guesses = look_inside(encoder, photos, labels, seed)
    if labels is None or np.unique(labels, return_counts=True)[1].max() < 2:
        name = [name for name in guesses if name.startswith("set")][-1]
        return Objects(guesses[name].boxes, guesses[name].confidence, name)
    labels = np.asarray(labels)
    drawn = np.sort(np.random.default_rng(seed).permutation(len(photos))[:PROBED])
    choice = choose_hypothesis(
        encoder,
        trunk,
        photos[drawn],
        labels[drawn],
        {name: (guess.boxes[drawn], guess.views[drawn]) for name, guess in guesses.items()},
        size=size,
        seed=seed,
    )
    if choice.name == FRAME:
        return Objects(whole(len(photos)), np.ones(len(photos), "float32"), FRAME, choice)
    chosen = guesses[choice.name]
    return Objects(chosen.boxes, chosen.confidence, choice.name, choice)
