"""What a run depends on: a preset, and what replaces its values."""

import dataclasses
import inspect
import math
import re

from rra_keras import data, models
from rra_keras.models.arguments import check_arguments
from rra_keras.models.presets import preset as find_preset
from rra_keras.models.presets import preset_model

AUGMENTATIONS = ("none", "light", "rand", "mix")
EPOCHS = 6, 18  # the fewest and the most, unless given
STEPS = 300  # that decide between them
PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """What a run depends on.

    `train.py` makes a flag of each attribute but `model`, with its type and this description.

    Attributes:
        dataset: `synthetic_birds`, a folder (`folder:PATH`, or its path) or the name of a TFDS
            data set.
        data_dir: Where named data sets are kept.
        group_regex: With `folder:PATH`, keeps all files whose names match the same first group in
            one split.
        strict: Refuse a folder with files that are no images.
        keep_together: With `folder:PATH`, keeps photos that show nearly the same in one split.
        exclude: With `folder:PATH`, a table with a column `file`, or a list of one file a line, of
            photos to leave out, relative to PATH. A run keeps a copy, `excluded.csv`.
        preset: Where all defaults come from.
        model: Arguments of the preset's class, without `num_classes` and `weights`.
        weights: Backbone weights: `imagenet`, `random` or a file.
        init_from: Directory of a finished run to go on from, with the same layers: its weights,
            its knowledge of where to look and, by name, of the classes that stay.
        final: Directory of a run that was measured: train on all of its photos, those of its test
            too, as it was trained, before it is used. Nothing is left to measure the result on.
        one_object: Each photo shows one object: read it, without finding out from the labels
            whether that pays.
        boxes: Where the objects are in all training photos or in any few: a box file (CSV, COCO or
            Label Studio JSON, a folder of VOC XML or YOLO txt), or `dataset` for those that a TFDS
            set brings. A run keeps a copy, `boxes.csv`.
        rounds: Most rounds in which what was read teaches where to look.
        augment: Augmentation: `none`, `light`, `rand` or `mix`.
        mirror: Mirror half of the photos in training, left to right. Unless given, they are, but
            where mirrored ones look like other classes, as left and right shoes do; that is found
            out while objects are looked for.
        epochs: Passes over the training images. Unless given, 6, and up to 18 where they are few:
            as many as take some 300 steps.
        batch_size: Images a step.
        learning_rate: Peak learning rate.
        schedule: `cosine` (after a warm-up of a twentieth) or `step` (÷10 after a third and two
            thirds of the epochs, the paper's).
        weight_decay: Weight decay of SGD with momentum 0.9.
        class_weight: `balanced` lets each class count alike in the loss, however many images it
            has; each image counts alike unless given.
        label_smoothing: Share of each label that is spread over all classes.
        precision: What to compute in: `float32`, `mixed_bfloat16` or `mixed_float16`.
        accumulation_steps: Batches whose gradients are averaged for one update.
        ema: Validate and keep the weights' moving average, of this momentum, e.g. 0.99.
        first_layer_rate: Learning rate of an encoder's first trained layer, as a share of the
            peak; the others' lie geometrically between.
        checkpoint_every: Steps between two states to resume from; each epoch unless given.
        seed: Seed of everything random.

    Raises:
        ValueError: if a value is out of range, naming it.
    """

    dataset: str = "synthetic_birds"
    data_dir: str | None = None
    group_regex: str | None = None
    strict: bool = False
    keep_together: bool = False
    exclude: str | None = None
    preset: str = "edge"
    model: dict
    weights: str = "imagenet"
    init_from: str | None = None
    final: str | None = None
    one_object: bool = False
    boxes: str | None = None
    rounds: int = 2
    augment: str
    mirror: bool | None = None
    epochs: int | None = None
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

    def __post_init__(self):
        for name in ("epochs", "batch_size", "accumulation_steps", "checkpoint_every"):
            value = getattr(self, name)
            self._check(value is None or value >= 1, name, "a positive integer")
        for name in ("seed", "rounds"):
            self._check(getattr(self, name) >= 0, name, "0 or a positive integer")
        rate, decay = self.learning_rate, self.weight_decay
        self._check(math.isfinite(rate) and rate > 0, "learning_rate", "a finite number above 0")
        self._check(math.isfinite(decay) and decay >= 0, "weight_decay", "a finite number from 0")
        for name in ("label_smoothing", "ema"):
            value = getattr(self, name)
            self._check(value is None or 0 <= value < 1, name, "a number in [0, 1)")
        self._check(0 < self.first_layer_rate <= 1, "first_layer_rate", "a number in (0, 1]")
        for name, known in (
            ("augment", AUGMENTATIONS),
            ("schedule", ("cosine", "step")),
            ("class_weight", (None, "balanced")),
            ("precision", PRECISIONS),
        ):
            self._check(getattr(self, name) in known, name, f"one of {known}")
        if self.boxes is not None:
            self._check(
                self.init_from is None, "boxes", "None with init_from, whose localizer stays"
            )
            self._check(
                self.model.get("localizer") == "box",
                "boxes",
                "None for a model without a localizer",
            )

    def epochs_for(self, photos):
        """Return the number of epochs for so many training photos: `epochs`, if it was given."""
        few, many = EPOCHS
        return self.epochs or min(max(few, math.ceil(STEPS * self.batch_size / photos)), many)

    def _check(self, passed, name, expected):
        if not passed:
            raise ValueError(
                f"Invalid value for `{name}`. Expected {expected}. "
                f"Received: {name}={getattr(self, name)!r}"
            )


def model_class(preset):
    """Return the class of a preset's model."""
    return getattr(models, find_preset(preset).model_class)


def configure(preset="edge", model=None, **overrides):
    """Return the `Config` of a preset with some values replaced.

    Example:
        config = training.configure("edge", {"max_fixations": 2}, dataset="folder:photos", epochs=3)
        assert (config.model["max_fixations"], config.epochs, config.batch_size) == (2, 3, 16)

    Args:
        preset: name in `rra_keras.models.presets.PRESETS`.
        model: arguments of the preset's class that replace the preset's.
        **overrides: fields of `Config`.

    Raises:
        ValueError: if there is no such preset or argument, or a value is out of range.
    """
    kind = model_class(preset)
    if "dataset" in overrides:
        overrides["dataset"] = data.full_name(overrides["dataset"])
    arguments = preset_model(preset, kind, model or {})
    config = Config(preset=preset, model=arguments, **find_preset(preset).training | overrides)
    if kind is models.RRAClassifier:
        bound = inspect.signature(kind).bind(
            num_classes=2, weights=config.weights, dtype=config.precision, **arguments
        )
        bound.apply_defaults()
        check_arguments(bound.arguments)
    return config


def default_run_dir(config):
    """Return where a run goes unless told: `runs/DATASET-PRESET-seedN`."""
    # Of a Windows path, too; no system takes the letters that are left out.
    dataset = re.split(r"[/\\:]", config.dataset.rstrip("/\\"))[-1]
    dataset = re.sub(r'[<>"|?*]', "", dataset) or "photos"
    if config.final:
        return f"{config.final.rstrip('/')}-final"
    plain = "localizer" in config.model and config.model["localizer"] is None
    return f"runs/{dataset}-{'plain' if plain else config.preset}-seed{config.seed}"
