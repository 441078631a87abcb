"""What a run depends on: a preset, and what replaces its values."""

import dataclasses
import math

from rra_keras.layers.zoom_crop import as_pair
from rra_keras.models.presets import PRESETS


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """What a run depends on.

    Attributes:
        dataset: `synthetic_birds`, `folder:PATH` or a TFDS name.
        data_dir: where named data sets are kept.
        group_regex: see `rra_keras.data.load`.
        strict: refuse a folder with files that are no images.
        preset: where `model` and the training's defaults come from.
        model: arguments of `RRAClassifier`, without `num_classes` and `weights`.
        weights: `"imagenet"`, `"none"` or a backbone weights file.
        augment: `"none"`, `"light"`, `"rand"` or `"mix"`.
        epochs: passes over the training split.
        batch_size: images a step.
        learning_rate: its peak.
        schedule: `"cosine"` (after a warm-up of a twentieth) or `"step"` (÷10 after a third and
            two thirds of the epochs, the paper's).
        weight_decay: of SGD with momentum 0.9.
        class_weight: `"balanced"`: each class counts alike in the loss, however many images it has;
            `None`: each image does.
        label_smoothing: share of a label that is spread over all classes, in [0, 1).
        precision: Keras' dtype policy: `"float32"`, `"mixed_bfloat16"` or `"mixed_float16"`.
        accumulation_steps: batches whose gradients are averaged for one update.
        ema: momentum of the weights' moving average, which is then what is validated and kept;
            `None` for none.
        first_layer_rate: the learning rate of an encoder's first trainable layer as a share of the
            peak; that of the others lies geometrically between.
        checkpoint_every: steps between two states on disk; `None` for one each epoch.
        seed: of everything random.
    """

    dataset: str = "synthetic_birds"
    data_dir: str | None = None
    group_regex: str | None = None
    strict: bool = False
    preset: str
    model: dict
    weights: str = "imagenet"
    augment: str
    epochs: int
    batch_size: int
    learning_rate: float
    schedule: str
    weight_decay: float
    class_weight: str | None = None
    label_smoothing: float = 0.0
    precision: str = "float32"
    accumulation_steps: int = 1
    ema: float | None = None
    first_layer_rate: float = 1.0
    checkpoint_every: int | None = None
    seed: int = 0


def configure(preset="edge", model=None, **overrides):
    """Return the `Config` of a preset with some values replaced.

    With `looks=0` the backbone sees the whole image, as many pixels as a crop has (the side rounded
    to 32) unless `image_size` is given.
    Another backbone than the preset's is trained whole unless `train_from` is given.

    Args:
        preset: name in `rra_keras.models.presets.PRESETS`.
        model: arguments of `RRAClassifier` that replace the preset's.
        **overrides: fields of `Config`.
    """
    chosen = PRESETS[preset]
    model = model or {}
    arguments = chosen.model | model
    if arguments["backbone"] != chosen.model["backbone"]:
        arguments["train_from"] = model.get("train_from")
        arguments.pop("crop_backbone", None)
    if arguments["looks"] == 0:
        arguments = {
            key: value
            for key, value in arguments.items()
            if key not in ("glance_size", "crop_backbone", "shared_encoder")
        }
        height, width = as_pair(arguments["patch_size"])
        side = height if height == width else 32 * round(math.sqrt(height * width) / 32)
        arguments["image_size"] = model.get("image_size", side)
    elif "glance_size" in chosen.model and "glance_size" not in model:
        arguments["glance_size"] = min(arguments["glance_size"], arguments["image_size"])
    return Config(preset=preset, model=arguments, **chosen.training | overrides)


def default_run_dir(config):
    """Return where a run goes unless told: `runs/DATASET-looksN-seedN`."""
    dataset = config.dataset.rstrip("/").rpartition("/")[2].removeprefix("folder:")
    return f"runs/{dataset}-looks{config.model['looks']}-seed{config.seed}"
