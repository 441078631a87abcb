"""Named configurations: the model's arguments and how to train it."""

import dataclasses
import math

from rra_keras.layers.zoom_crop import as_pair


@dataclasses.dataclass(frozen=True)
class Preset:
    """A model and its training.

    Attributes:
        model: arguments of `RRAClassifier`.
        training: the fields of `rra_keras.training.config.Config` that say how to train.
    """

    model: dict
    training: dict


_EDGE_MODEL = {
    "backbone": "efficientnet_lite0",
    "looks": 1,
    "steps": 4,
    "units": 128,
    "image_size": 448,
    "glance_size": 160,
    "train_from": "block_11",
}
_EDGE_TRAINING = {
    "epochs": 6,
    "batch_size": 16,
    "learning_rate": 0.03,
    "schedule": "cosine",
    "weight_decay": 1e-4,
    "augment": "light",
}

PRESETS = {
    # For a phone: one backbone, its first glance at half of the pixels that the crop gets.
    "edge": Preset(
        model={
            **_EDGE_MODEL,
            "patch_size": 224,
            "look_weight": 2.0,  # the crop knows better than so small a glance
            "look_loss_weight": 2.0,
        },
        training=_EDGE_TRAINING,
    ),
    # For objects twice as wide as high that fill much of the frame, aircraft or ships: a crop of
    # their shape, framed by what excites the backbone, which learns from the crops alone.
    "edge_wide": Preset(
        model={
            **_EDGE_MODEL,
            "patch_size": (160, 320),
            "localizer": "activation",
            "detach_glance": True,
            "look_weight": 4.0,
            "glance_loss_weight": 0.25,
        },
        training=_EDGE_TRAINING,
    ),
    # The paper's own network and training, but for where its crops come from: our localizer.
    "paper_vgg19": Preset(
        model={
            "backbone": "vgg19",
            "crop_backbone": "vgg19_no_pool",
            "shared_encoder": False,
            "looks": 1,
            "steps": 10,
            "units": 512,
            "image_size": 448,
            "patch_size": 224,
            "glance_size": 448,
            "projection": (1024, 1024),
            "linear_vote": False,
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


def resolve(preset, overrides):
    """Return the arguments of `RRAClassifier` that a preset stands for, `overrides` in place.

    1. Another backbone than the preset's is trained whole unless `train_from` is given.
    2. With `looks=0` the backbone sees as many pixels as a crop has (the side rounded to 32) unless
       `image_size` is given; what is about looks alone is left out.
    3. With `localizer="box"` the glance is for framing alone, and smaller: 128 pixels; and the
       patch takes the objects' shape (`"auto"`); unless they are given.
    4. The preset's own glance is no larger than the image.

    Args:
        preset: a name in `PRESETS`.
        overrides: a dict of arguments.

    Raises:
        ValueError: if there is no such preset.
    """
    if preset not in PRESETS:
        raise ValueError(
            f"Invalid value for argument `preset`. Expected one of {sorted(PRESETS)}. "
            f"Received: preset={preset!r}"
        )
    chosen = PRESETS[preset].model
    if overrides.get("localizer") == "box":
        chosen = chosen | {"glance_size": 128, "patch_size": "auto"}
    arguments = chosen | overrides
    if arguments["backbone"] != chosen["backbone"]:
        arguments["train_from"] = overrides.get("train_from")
        if "crop_backbone" not in overrides:
            arguments.pop("crop_backbone", None)
    if arguments["looks"] == 0:
        for name in ("glance_size", "crop_backbone", "shared_encoder"):
            arguments.pop(name, None)
        size = arguments["patch_size"]
        height, width = as_pair(224 if size == "auto" else size, "patch_size")
        side = height if height == width else 32 * round(math.sqrt(height * width) / 32)
        arguments["image_size"] = overrides.get("image_size", side)
    elif "glance_size" in chosen and "glance_size" not in overrides:
        arguments["glance_size"] = min(arguments["glance_size"], arguments["image_size"])
    return arguments
