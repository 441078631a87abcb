"""Named configurations: the model's arguments and how to train it."""

import dataclasses
import difflib
import inspect

from rra_keras.layers.recursive_attention import glance_size_for


@dataclasses.dataclass(frozen=True)
class Preset:
    """A model and its training.

    Attributes:
        model_class: name of the class, `"RRAClassifier"` or `"TwoStreamClassifier"`.
        model: its arguments.
        training: the fields of `rra_keras.training.config.Config` that say how to train.
    """

    model_class: str
    model: dict
    training: dict


PRESETS = {
    # For a phone: one backbone. Its frozen early layers find the object, and it reads a crop of it.
    "edge": Preset(
        model_class="RRAClassifier",
        model={
            "backbone": "efficientnet_lite0",
            "image_size": 448,
            "localizer": "box",
            "max_fixations": 4,
            "train_from": "block_11",
        },
        training={
            "batch_size": 16,
            "learning_rate": 0.03,
            "schedule": "cosine",
            "weight_decay": 1e-4,
            "augment": "light",
        },
    ),
    # The paper's own network and training, but for where its patch comes from.
    "paper_vgg19": Preset(
        model_class="TwoStreamClassifier",
        model={
            "backbone": "vgg19",
            "local_backbone": "vgg19_no_pool",
            "image_size": 448,
            "crop_size": 224,
            "projection": (1024, 1024),
            "units": 512,
            "steps": 10,
        },
        training={
            "epochs": 90,
            "batch_size": 32,
            "learning_rate": 1e-3,
            "schedule": "step",  # ÷10 after epochs 30 and 60
            "weight_decay": 5e-4,
            "augment": "none",
        },
    ),
}
CROP_SIZE = 224  # pixels that are read unless told
PLAIN_SIZE = 224  # pixels that the plain backbone sees unless told


def preset(name):
    """Return a preset by its name.

    Raises:
        ValueError: if there is none.
    """
    if name not in PRESETS:
        raise ValueError(
            f"Invalid value for argument `preset`. Expected one of {sorted(PRESETS)}. "
            f"Received: preset={name!r}"
        )
    return PRESETS[name]


def preset_model(name, model_class, overrides):
    """Return the arguments of a class that a preset stands for, `overrides` in place.

    1. Another backbone than the preset's is trained whole unless `train_from` is given.
    2. With `localizer=None` the backbone sees 224 pixels unless `image_size` is given.
    3. The glance, where it is not given, is by the photo's size (`glance_size_for`); a crop that is
       not given is no larger than the photo.

    Args:
        name: a name in `PRESETS`.
        model_class: the class.
        overrides: a dict of arguments.

    Raises:
        ValueError: if there is no such preset or argument, or the preset is of another class.
    """
    chosen = preset(name)
    if chosen.model_class != model_class.__name__:
        raise ValueError(
            f"Invalid value for argument `preset`. Expected one of a {model_class.__name__}. "
            f"Received: preset={name!r}, of a {chosen.model_class}"
        )
    known = set(inspect.signature(model_class).parameters) - {"num_classes", "weights"}
    for argument, value in overrides.items():
        if argument not in known:
            nearest = difflib.get_close_matches(argument, known, n=1, cutoff=0.0)[0]
            raise ValueError(
                f"Invalid argument `{argument}`. Expected arguments of {model_class.__name__}, "
                f"such as `{nearest}`. Received: {argument}={value!r}"
            )
    arguments = chosen.model | overrides
    if "train_from" in known and arguments["backbone"] != chosen.model["backbone"]:
        arguments["train_from"] = overrides.get("train_from")
    if "localizer" in arguments and arguments["localizer"] is None:
        arguments["image_size"] = overrides.get("image_size", PLAIN_SIZE)
    elif "glance_size" in known and "glance_size" not in overrides:
        arguments["glance_size"] = glance_size_for(arguments["image_size"])
    if "crop_size" not in arguments and arguments["image_size"] < CROP_SIZE:
        arguments["crop_size"] = arguments["image_size"]
    return arguments
