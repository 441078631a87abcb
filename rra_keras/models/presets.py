"""Named configurations: the model's arguments and how to train it."""

import dataclasses
import math

from rra_keras.layers.zoom_crop import as_pair
from rra_keras.models.arguments import is_learned


@dataclasses.dataclass(frozen=True)
class Preset:
    """A model and its training.

    Attributes:
        model: arguments of `RRAClassifier`.
        training: the fields of `rra_keras.training.config.Config` that say how to train.
    """

    model: dict
    training: dict


PRESETS = {
    # For a phone: one backbone. Its frozen early layers find the object, and it reads a crop of it.
    "edge": Preset(
        model={
            "backbone": "efficientnet_lite0",
            "looks": 1,
            "steps": 1,  # further ones see the same crop again, and add nothing
            "units": 128,
            "image_size": 448,
            "patch_size": "auto",
            "glance_size": 128,
            "localizer": "box",
            "train_from": "block_11",
            "look_weight": 4.0,  # the crop knows better than so small a glance
        },
        training={
            "epochs": 6,
            "batch_size": 16,
            "learning_rate": 0.03,
            "schedule": "cosine",
            "weight_decay": 1e-4,
            "augment": "light",
        },
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
    3. Another localizer than a preset's `"box"` reads classes in the glance, which is larger then:
       160 pixels; and the patch has 224; unless they are given.
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
    if is_learned(chosen.get("localizer")) and not is_learned(overrides.get("localizer", "box")):
        chosen = chosen | {"glance_size": 160, "patch_size": 224}
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
