"""From photos to their objects, and to a localizer that finds them: before any training."""

import math

import keras

from rra_keras.backbones import build_encoder, build_trunk, default_train_from
from rra_keras.backbones.costs import graph_multiply_adds
from rra_keras.discovery.crop_size import crop_size_for
from rra_keras.discovery.inputs import checked_boxes, checked_photos
from rra_keras.discovery.memory import Memory
from rra_keras.discovery.objects import Objects
from rra_keras.discovery.search import Search
from rra_keras.layers.recursive_attention import glance_size_for, refinements_for, view_size_for

CROP_SIZE = 224  # pixels that are read, as a side


def find_objects(
    photos,
    labels=None,
    backbone="efficientnet_lite0",
    *,
    weights="imagenet",
    train_from="auto",
    glance_size=None,
    max_refinements=None,
    one_object=False,
    rounds=2,
    boxes=None,
    seed=0,
    memory=None,
):
    """Find the object in each photo without a box label, and teach a localizer to find it.

    1. The frozen backbone sees each photo, and closer where objects are small in it: guesses at
       where the objects are (`guess`). A linear probe compares them, and the whole photo: how well
       do crops there tell the classes apart? (`choose_hypothesis`).
    2. A `BoxLocalizer` learns to find the objects from the glance, and from closer views
       (`fit_localizer`).
    3. Where no guess is better than the whole photo, or the objects are small, what the photos of
       each class have in common is a guess as well (`matched_boxes`). It stands if photos that were
       held out from it are read better so; better than whole photos, once the rounds are over.
    4. Rounds, in the same cases: the localizer gives several places in each photo, and a linear
       probe reads them. The one most like the photo's own class is most likely the object; with
       several labels, one for each. If that is often elsewhere, a localizer is taught again by the
       surest half of them, and kept while the margin of held-out photos grows.

    With `boxes`, of all photos or of a few, 1 to 4 are left out: the boxes teach the localizer.
    Where they are of some photos, it then finds the objects in the others; those that it finds
    again in the mirrored and in the moved photo teach it as well, and the given ones half as much
    as all of these. Whole photos are taken where held-out photos are read better so.

    Without labels there is only what all photos share. `one_object` says that each photo shows one:
    then the whole photo is no hypothesis.

    At the end it is found out whether training may mirror the photos (`may_be_mirrored`).

    Some 1,000 photos are enough. The same photos and seed give the same objects.

    Example:
        objects = rra_keras.find_objects(images, labels, "mobilenet", weights="random")
        boxes = objects.boxes  # (9, 4)

    Args:
        photos: `(N, S, S, 3)`, RGB 0…255: an array or tensor of any library, a list, or a
            `tf.data.Dataset` of photos and labels.
        labels: `(N,)` integers, of the classes; or `(N, C)` of 0 and 1, of several a photo.
        backbone: that of the model; see `RRAClassifier`.
        weights: its weights, see `RRAClassifier`.
        train_from: first trainable block of the model; by the backbone unless given.
        glance_size: side of the glance, pixels; by the photos' size unless given.
        max_refinements: most closer views of an object; by the photos' size unless given.
        one_object: each photo shows one object: do not find out whether reading it pays.
        rounds: most rounds of teaching the localizer by what was read.
        boxes: `(N, 4)`, or several of a photo `(N, M, 4)`: `y0 x0 y1 x1` in [0, 1]; NaN where there
            is none.
        seed: of everything random.
        memory: a folder for the results of each step, so that a call that was stopped goes on from
            there; delete it afterwards.

    Returns:
        `Objects`, for `RRAClassifier.from_preset(..., objects=objects)`.

    Raises:
        ValueError: if photos or labels are not what is expected.

    Warns:
        UserWarning: if no pixel is above 1, as where photos were scaled to [0, 1].
    """
    photos, labels = checked_photos(photos, labels)
    boxes = None if boxes is None else checked_boxes(boxes, len(photos))
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
    glance_size = min(glance_size or glance_size_for(side), side)
    size = view_size_for(glance_size)
    crop = min(CROP_SIZE, side)
    looking = graph_multiply_adds(trunk, (glance_size,) * 2)
    looking += max_refinements * graph_multiply_adds(trunk, (size, size))
    plain = _plain_size(encoder, looking, (crop, crop))
    search = Search(
        encoder,
        trunk,
        photos,
        labels,
        size,
        glance_size,
        frame_size=max(32 * round(size * plain / crop / 32), min(size, 32)),
        max_refinements=max_refinements,
        one_object=one_object,
        seed=seed,
        memory=Memory(memory),
    )
    found = search.run(rounds) if boxes is None else search.shown(boxes)
    boxes = found.boxes
    crop_size = crop_size_for(boxes, crop**2, side)
    return Objects(
        boxes=boxes,
        confidence=found.confidence,
        name=found.name,
        choice=found.choice,
        crop_size=crop_size,
        plain_size=_plain_size(encoder, looking, crop_size),
        localizer=found.localizer and tuple(found.localizer.get_weights()),
        arguments_used={
            "backbone": backbone,
            "image_size": side,
            "glance_size": glance_size,
            "max_refinements": max_refinements,
            "train_from": train_from,
        },
        rounds=found.rounds,
        consistency=search.consistency(found.localizer),
        earlier=found.earlier,
        mirror=search.may_be_mirrored(found.boxes),
    )


def _plain_size(encoder, looking, crop_size):
    """Return the side at which the encoder costs about as much as the model, a multiple of 32.

    Args:
        encoder: a `keras.Model`.
        looking: multiply-adds of finding the object.
        crop_size: `(height, width)`, what is read.
    """
    reading = graph_multiply_adds(encoder, crop_size)
    plain = graph_multiply_adds(encoder, (224, 224))
    side = 32 * math.ceil(7 * math.sqrt((looking + reading) / plain) - 0.1)
    return max(side, 32)
