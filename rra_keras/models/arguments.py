"""What the classifier's arguments must be, and how they are stored."""

import contextlib
import copy
import operator

import keras
import numpy as np

from rra_keras.backbones import minimum_size
from rra_keras.layers.recursive_attention import glance_size_for
from rra_keras.layers.zoom_crop import as_pair


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

    backbone, localizer = arguments["backbone"], arguments["localizer"]
    least, at_least = minimum_size(backbone), "a number of pixels"
    if least > 1:
        name = backbone if isinstance(backbone, str) else "the backbone"
        at_least = f"at least {least} pixels, the minimum of {name}"
    check(_is_integer(arguments["num_classes"], 2), "num_classes", "an integer, at least 2")
    check(_is_integer(arguments["image_size"], least), "image_size", at_least)
    known = localizer in ("box", None) if isinstance(localizer, str | None) else True
    known = known and isinstance(localizer, str | None | keras.layers.Layer | dict)
    check(known, "localizer", '"box", None or a layer')
    if localizer is not None:
        refinements = arguments["max_refinements"]
        check(_is_integer(arguments["max_fixations"], 1), "max_fixations", "an integer, at least 1")
        check(
            refinements is None or _is_integer(refinements, 0),
            "max_refinements",
            "an integer, at least 0, or None",
        )
        crop_size = as_pair(arguments["crop_size"], "crop_size")
        check(min(crop_size) >= least, "crop_size", at_least)
        largest = arguments["image_size"]
        glance_size = arguments["glance_size"] or glance_size_for(largest)
        check(_is_integer(glance_size, least), "glance_size", at_least)
        for name, size in (
            ("crop_size", max(crop_size)),
            ("glance_size", glance_size),
        ):
            check(size <= largest, name, f"at most image_size={largest}")
        check(
            arguments["max_fixations"] == 1 or localizer == "box" or hasattr(localizer, "propose"),
            "max_fixations",
            "1, as the localizer has no method `propose`",
        )
    check(arguments["answer"] in ("one", "any"), "answer", '"one" or "any"')
    train_from, weights = arguments["train_from"], arguments["weights"]
    check(
        weights is not None or train_from is None or not isinstance(backbone, str),
        "weights",
        f'"imagenet" or a file, as train_from={train_from!r} would freeze random weights; '
        '"random" if that is meant',
    )
    preprocess = arguments["preprocess"]
    check(
        preprocess is None or isinstance(preprocess, keras.layers.Layer | dict),
        "preprocess",
        "a Keras layer, such as `keras.layers.Rescaling(1 / 127.5, -1)`: a function could not be "
        "saved with the model",
    )


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
