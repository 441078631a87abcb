"""From photos to their objects, and to a localizer that finds them: the first half of a training."""

import math

import keras
import numpy as np

from rra_keras.backbones import build_encoder, build_trunk, default_train_from
from rra_keras.backbones.costs import graph_multiply_adds
from rra_keras.discovery.crop_size import crop_size_for
from rra_keras.discovery.fit import fit_localizer
from rra_keras.discovery.hypotheses import guess
from rra_keras.discovery.objects import Objects
from rra_keras.discovery.probe import FRAME, choose_hypothesis
from rra_keras.layers import BoxLocalizer
from rra_keras.layers.recursive_attention import refinements_for
from rra_keras.measures.boxes import whole

PROBED = 600  # photos that the probe compares hypotheses on
FAR_VIEWS = 12  # of each photo, for each refinement beyond the first


def find_objects(
    photos,
    labels=None,
    backbone="efficientnet_lite0",
    *,
    weights="imagenet",
    train_from="auto",
    glance_size=128,
    max_refinements=None,
    one_object=False,
    seed=0,
):
    """Find the object in each photo without a box label, and teach a localizer to find it.

    1. The frozen backbone sees each photo, and closer where objects are small in it: guesses at
       where the objects are (`guess`).
    2. A linear probe on up to 600 photos compares them, and the whole photo: how well do crops
       there tell the classes apart? (`choose_hypothesis`). Without labels, or where `one_object`
       says that each photo shows one, it is the deepest guess by what all photos share.
    3. A `BoxLocalizer` learns to find the objects from the glance, and from closer views
       (`fit_localizer`).

    Some 1,000 photos are enough. The same photos and seed give the same objects.

    Example:
        objects = rra_keras.find_objects(images, labels, "mobilenet", weights="random")
        boxes = objects.boxes  # (9, 4)

    Args:
        photos: `(N, S, S, 3)`, RGB 0…255.
        labels: `(N,)` integers, of the classes.
        backbone: that of the model; see `RRAClassifier`.
        weights: its weights, see `RRAClassifier`.
        train_from: first trainable block of the model; by the backbone unless given.
        glance_size: side of the glance, pixels.
        max_refinements: most closer views of an object; by the photos' size unless given.
        one_object: each photo shows one object: do not find out whether reading it pays.
        seed: of everything random.

    Returns:
        `Objects`, for `RRAClassifier.from_preset(..., objects=objects)`.

    Raises:
        ValueError: if photos or labels are not what is expected.
    """
    photos, labels = _checked(photos, labels)
    side = int(photos.shape[1])
    train_from = default_train_from(backbone) if train_from == "auto" else train_from
    max_refinements = refinements_for(side) if max_refinements is None else max_refinements
    if weights == "imagenet" and isinstance(backbone, keras.Model):
        weights = None
    encoder = build_encoder(
        backbone,
        None if weights == "random" else weights,
        train_from=train_from,
        fine_features=True,
    )
    trunk = build_trunk(encoder, train_from)
    size = min(glance_size, side)
    boxes, confidence, name, choice = _choose(
        encoder, trunk, photos, labels, size, one_object, seed
    )
    localizer = None
    if name != FRAME:
        localizer = BoxLocalizer(name="localizer")
        fit_localizer(
            localizer,
            trunk,
            photos,
            boxes,
            size=size,
            far_views=max(0, FAR_VIEWS * (max_refinements - 1)),
            seed=seed,
        )
    crop_size = crop_size_for(boxes, min(224, side) ** 2)
    return Objects(
        boxes=boxes,
        confidence=confidence,
        name=name,
        choice=choice,
        crop_size=crop_size,
        plain_size=_plain_size(encoder, trunk, size, crop_size, max_refinements),
        localizer=None if localizer is None else tuple(localizer.get_weights()),
        arguments_used={
            "backbone": backbone,
            "image_size": side,
            "glance_size": size,
            "max_refinements": max_refinements,
            "train_from": train_from,
        },
    )


def _checked(photos, labels):
    if not hasattr(photos, "shape"):
        photos = np.asarray(photos)
    if len(photos.shape) != 4 or photos.shape[1] != photos.shape[2] or photos.shape[3] != 3:
        raise ValueError(
            "Invalid value for argument `photos`. Expected square RGB photos, (N, S, S, 3). "
            f"Received: shape {tuple(photos.shape)}"
        )
    if labels is not None:
        labels = np.asarray(labels)
        labels = labels.argmax(-1) if labels.ndim == 2 and labels.shape[1] > 1 else labels.ravel()
        if len(labels) != len(photos):
            raise ValueError(
                "Invalid value for argument `labels`. Expected one for each photo. "
                f"Received: {len(labels)} labels for {len(photos)} photos"
            )
    return photos, labels


def _choose(encoder, trunk, photos, labels, size, one_object, seed):
    """Return boxes, their confidence, the hypothesis that they are of, and what told."""
    guesses = guess(encoder, photos, labels, seed)
    told = labels is not None and np.unique(labels, return_counts=True)[1].max() > 1
    if one_object or not told:
        name = [name for name in guesses if name.startswith("set")][-1]
        return guesses[name].boxes, guesses[name].confidence, name, None
    drawn = np.sort(np.random.default_rng(seed).permutation(len(photos))[:PROBED])
    choice = choose_hypothesis(
        encoder,
        trunk,
        photos[drawn],
        labels[drawn],
        {name: (found.boxes[drawn], found.views[drawn]) for name, found in guesses.items()},
        size=size,
        seed=seed,
    )
    if choice.name == FRAME:
        return whole(len(photos)), np.ones(len(photos), "float32"), FRAME, choice
    chosen = guesses[choice.name]
    return chosen.boxes, chosen.confidence, choice.name, choice


def _plain_size(encoder, trunk, glance_size, crop_size, max_refinements):
    """Return the side at which the encoder costs about as much as the model, a multiple of 32."""
    looking = graph_multiply_adds(trunk, (glance_size, glance_size)) * (1 + max_refinements)
    reading = graph_multiply_adds(encoder, crop_size)
    plain = graph_multiply_adds(encoder, (224, 224))
    side = 32 * math.ceil(7 * math.sqrt((looking + reading) / plain) - 0.1)
    return max(side, 32)
