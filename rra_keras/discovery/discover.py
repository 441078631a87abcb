"""From photos to the boxes of their objects, or to the word that they hold no one object."""

import dataclasses

import numpy as np

from rra_keras.discovery import colocalize
from rra_keras.discovery.observe import observe
from rra_keras.discovery.probe import FRAME, Choice, choose_hypothesis

THRESHOLDS = {"set": 0.25, "class": 0.25, "norm": 0.3}  # of a map's maximum, by hypothesis
PROBED = 600  # photos that the probe compares hypotheses on


@dataclasses.dataclass(frozen=True)
class Objects:
    """What was found in N photos.

    Example:
        objects = discovery.Objects(boxes, np.ones(2), "set")
        surest = objects.boxes[objects.confidence.argmax()]

    Attributes:
        boxes: `(N, 4)` float32, `y0 x0 y1 x1` in [0, 1].
        confidence: `(N,)` float32 in [0, 1], the share of the map's mass inside the box.
        name: the hypothesis that the boxes are of: `"set"`, `"class"`, `"norm"` or `"frame"`.
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

    - `"set"`: what all photos have in common (`common_maps`).
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
    maps = {"set": [colocalize.common_maps(depth.features) for depth in depths]}
    if labels is not None:
        maps["class"] = [colocalize.class_maps(depth.features, labels) for depth in depths]
    maps["norm"] = [colocalize.norm_maps(depth.norms) for depth in depths]
    return {
        name: colocalize.boxes_of_maps(colocalize.combine(*pair), THRESHOLDS[name])
        for name, pair in maps.items()
    }


def discover_objects(encoder, trunk, photos, labels=None, size=128, seed=0):
    """Find the object in each photo, or that the photos are better seen whole.

    1. The frozen encoder sees each photo as it is (`observe`).
    2. Hypotheses (`hypothesize`).
    3. With labels, a linear probe on up to 600 of the photos picks one whose crops tell most of
       the classes, or the whole frame (`choose_hypothesis`). Without, or where no class has two
       photos to compare, it is `"set"`.

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
    coarse, fine = observe(encoder, photos, seed=seed)
    found = hypothesize(coarse, fine, labels)
    if labels is None or np.unique(labels, return_counts=True)[1].max() < 2:
        return Objects(*found["set"], "set")
    labels = np.asarray(labels)
    drawn = np.sort(np.random.default_rng(seed).permutation(len(photos))[:PROBED])
    choice = choose_hypothesis(
        encoder,
        trunk,
        photos[drawn],
        labels[drawn],
        {name: boxes[drawn] for name, (boxes, _) in found.items()},
        size=size,
        seed=seed,
    )
    if choice.name == FRAME:
        frame = np.tile(np.array([0, 0, 1, 1], "float32"), (len(photos), 1))
        return Objects(frame, np.ones(len(photos), "float32"), FRAME, choice)
    return Objects(*found[choice.name], choice.name, choice)
