"""What the classifier's arguments must be, and how they are stored."""

import contextlib
import copy
import math
import operator

import keras
import numpy as np

from rra_keras.backbones import minimum_size
from rra_keras.layers import BoxLocalizer
from rra_keras.layers.localizers import LOCALIZERS
from rra_keras.layers.zoom_crop import as_pair
from rra_keras.models.calibrated import check_known_from, check_temperature


def check_arguments(arguments):
    """Raise for arguments of `RRAClassifier` that are out of range or contradict one another.

    Args:
        arguments: a dict of all of them.

    Raises:
        ValueError: naming the argument, what was expected and what came.
    """

    def check(passed, name, expected):
        if not passed:
            raise ValueError(
                f"Invalid value for argument `{name}`. Expected {expected}. "
                f"Received: {name}={arguments[name]!r}"
            )

    backbone, looks = arguments["backbone"], arguments["looks"]
    least, at_least = minimum_size(backbone), "a number of pixels"
    if least > 1:
        at_least = f"at least {least} pixels, the minimum of {_name(backbone)}"
    for name, lowest in (
        ("num_classes", 2),
        ("looks", 0),
        ("steps", 1),
        ("units", 1),
    ):
        check(_is_integer(arguments[name], lowest), name, f"an integer, at least {lowest}")
    refinements = arguments["refinements"]
    if refinements is not None:
        check(_is_integer(refinements, 0), "refinements", "an integer, at least 0, or None")
    check(_is_integer(arguments["image_size"], least), "image_size", at_least)
    patch_size = arguments["patch_size"]
    if patch_size == "auto":
        learns = is_learned(arguments["localizer"])
        check(learns, "patch_size", 'pixels, or "auto" with localizer="box"')
        patch_size = 224
    patch_size = as_pair(patch_size, "patch_size")
    if looks:
        glance_size = arguments["glance_size"]
        least_crop = minimum_size(arguments["crop_backbone"] or backbone)
        check(min(patch_size) >= least_crop, "patch_size", at_least)
        check(glance_size is None or _is_integer(glance_size, least), "glance_size", at_least)
        check(
            (glance_size or max(patch_size)) <= arguments["image_size"],
            "glance_size" if glance_size else "patch_size",
            f"at most image_size={arguments['image_size']}",
        )
    for name in ("look_weight", "look_loss_weight", "glance_loss_weight"):
        value = arguments[name]
        check(math.isfinite(value) and value >= 0, name, "a finite number, 0 or above")
    check_temperature(arguments["temperature"])
    check_known_from(arguments["known_from"])
    check(0 <= arguments["box_gradient"] <= 1, "box_gradient", "a share in [0, 1]")
    check(
        not (arguments["crop_backbone"] and arguments["shared_encoder"]),
        "crop_backbone",
        "None, as a shared encoder has one backbone; or pass `shared_encoder=False`",
    )
    check(
        looks < 2 or arguments["linear_vote"],
        "linear_vote",
        "True, as a second look is placed by the first one's class scores",
    )
    localizer = arguments["localizer"]
    if isinstance(localizer, str):
        check(localizer in LOCALIZERS, "localizer", f"one of {sorted(LOCALIZERS)}, or a layer")
    train_from, weights = arguments["train_from"], arguments["weights"]
    check(
        weights is not None or train_from is None or not isinstance(backbone, str),
        "weights",
        f'"imagenet" or a file, as train_from={train_from!r} would freeze random weights; '
        '"random" if that is meant',
    )


def is_learned(localizer):
    """Tell whether the argument `localizer` stands for a `BoxLocalizer`, which learns."""
    kind = localizer.get("name") if isinstance(localizer, dict) else localizer
    return kind == "box" or isinstance(localizer, BoxLocalizer)


def _name(backbone):
    return backbone if isinstance(backbone, str) else "the backbone"


def _is_integer(value, least):
    try:
        return operator.index(value) >= least
    except TypeError:
        return False


@contextlib.contextmanager
def dtype_policy(dtype):
    """Let the layers made meanwhile compute by a policy."""
    before = keras.config.dtype_policy()
    if dtype is not None:
        keras.config.set_dtype_policy(keras.dtype_policies.get(dtype))
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def serialized(value):
    """Return what `get_config` holds for an argument: itself where JSON knows it."""
    if isinstance(value, (list, tuple)):
        return tuple(serialized(item) for item in value)
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, (str, int, float, dict)):
        return value
    return keras.saving.serialize_keras_object(value)


def revived(config):
    """Return constructor arguments from what `get_config` holds."""
    objects = {
        # A copy, because Keras takes nested configs apart as it reads them.
        name: keras.saving.deserialize_keras_object(copy.deepcopy(value))
        for name, value in config.items()
        if isinstance(value, dict) and "class_name" in value
    }
    return config | objects
