"""One training, from a configuration to a finished run directory."""

import csv
import dataclasses
import importlib.metadata
import json
import math
import time

import keras

from rra_keras import costs, data
from rra_keras.backbones import minimum_size
from rra_keras.classifier import RRAClassifier
from rra_keras.data import pipeline
from rra_keras.metrics import accuracies, collect
from rra_keras.presets import PRESETS
from rra_keras.run import Run

_PACKAGES = ("rra-keras", "keras", "tensorflow", "keras-cv", "tensorflow-datasets")


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
    seed: int = 0


def configure(preset="edge", model=None, **overrides):
    """Return the `Config` of a preset with some values replaced.

    With `looks=0` the backbone sees the whole image at `patch_size` unless `image_size` is given.
    Another backbone than the preset's is trained whole unless `train_from` is given.

    Args:
        preset: name in `rra_keras.presets.PRESETS`.
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
            if key not in ("view_size", "crop_backbone", "shared_encoder")
        }
        arguments["image_size"] = model.get("image_size", arguments["patch_size"])
    elif arguments.get("view_size"):
        arguments["view_size"] = min(arguments["view_size"], arguments["image_size"])
    return Config(preset=preset, model=arguments, **chosen.training | overrides)


def prepare(config, run_dir, resume=False, overwrite=False):
    """Check everything that input can get wrong, before any work is lost to it.

    Returns:
        `(run, source, model, clock)`: the claimed run directory, the data, the model and the time
        they took, ready to `train`.

    Raises:
        ValueError: if the data, the model or the run directory cannot be used.
        OSError: if files or weights cannot be read.
    """
    Run(run_dir).check_available(dataclasses.asdict(config), resume=resume, overwrite=overwrite)
    sizes = {"image_size": config.model["image_size"]}
    if config.model["looks"]:
        sizes = {name: config.model[name] for name in ("view_size", "patch_size")}
    least = minimum_size(config.model["backbone"])
    for name, size in sizes.items():
        if size is not None and size < least:
            raise ValueError(
                f"Invalid value for `--{name}`. Expected at least {least} pixels, the minimum of "
                f"{config.model['backbone']}. Received: {size}"
            )
    clock = Clock()
    clock.start("data")
    source = data.load(
        config.dataset,
        data_dir=config.data_dir,
        group_regex=config.group_regex,
        seed=config.seed,
        strict=config.strict,
    )
    clock.start("model")
    keras.utils.set_random_seed(config.seed)
    model = RRAClassifier(
        num_classes=len(source.class_names),
        weights=None if config.weights == "none" else config.weights,
        **config.model,
    )
    run = Run.create(run_dir, dataclasses.asdict(config), resume=resume, overwrite=overwrite)
    return run, source, model, clock


def train(config, run, source, model, clock):
    """Train, keep the weights that were best on validation, test them once, write the run.

    Returns:
        The content of `metrics.json`.
    """
    if run.path("metrics.json").exists():
        print(f"{run} is finished: nothing to resume.")
        return json.loads(run.path("metrics.json").read_text("utf-8"))
    print(source.summary())
    run.write_text("labels.txt", "\n".join(source.class_names) + "\n")

    steps = pipeline.steps_per_epoch(source.splits["train"], config.batch_size)
    model.compile(
        keras.optimizers.SGD(
            _schedule(config, steps), momentum=0.9, weight_decay=config.weight_decay
        )
    )
    # Keras leaves the stream's name out where there is but one.
    monitor = "val_logits_accuracy" if model.looks else "val_accuracy"
    done, best = _progress(run, monitor)
    model.fit(
        pipeline.training_batches(
            source.splits["train"],
            model.image_size,
            config.batch_size,
            model.num_classes,
            augment=config.augment,
            seed=config.seed,
            epochs=config.epochs,
            start_epoch=done,
        ),
        epochs=config.epochs,
        steps_per_epoch=steps,
        shuffle=False,
        validation_data=_evaluation(config, source, model, "validation"),
        callbacks=[
            clock,
            keras.callbacks.ModelCheckpoint(
                run.path("checkpoints") / "best.weights.h5",
                monitor=monitor,
                mode="max",
                save_best_only=True,
                save_weights_only=True,
                initial_value_threshold=best,
            ),
            keras.callbacks.CSVLogger(run.path("history.csv"), append=done > 0),
            keras.callbacks.TensorBoard(run.path("tensorboard"), write_graph=False),
            keras.callbacks.TerminateOnNaN(),
            # Last, so that what it marks as done is on disk.
            keras.callbacks.BackupAndRestore(run.path("backup"), delete_checkpoint=False),
        ],
    )
    model.load_weights(run.path("checkpoints") / "best.weights.h5")

    print("Testing, once, with the weights that were best on validation:")
    clock.start("test")
    streams, labels = collect(model, *_sized(config, source, model, "test"))
    measured = accuracies(streams, labels)
    clock.start("files")
    _, best = _progress(run, monitor)
    metrics = {
        **{f"test_{name}": value for name, value in measured.items()},
        "val_accuracy": best,
        "parameters": costs.parameters(model),
        "multiply_adds": costs.multiply_adds(model),
        "train_images_per_second": clock.images_per_second(config.batch_size),
        "seconds": sum(clock.seconds.values()),
        "seed": config.seed,
        "dataset": config.dataset,
        "num_classes": model.num_classes,
        "versions": {name: importlib.metadata.version(name) for name in _PACKAGES},
    }
    with run.replacing("model.keras") as path:
        model.save(path)
    _draw_focus(run, source, model)
    run.write_json("metrics.json", metrics)
    clock.stop()
    print("Where the time went: " + clock.summary())
    return metrics


def default_run_dir(config):
    """Return where a run goes unless told: `runs/DATASET-looksN-seedN`."""
    dataset = config.dataset.rstrip("/").rpartition("/")[2].removeprefix("folder:")
    return f"runs/{dataset}-looks{config.model['looks']}-seed{config.seed}"


def report_line(metrics, run_dir):
    """Return a run's result in one line, and where it lies in the next."""
    parts = [f"Test accuracy {metrics['test_accuracy']:.1%}"]
    for stream in ("global", "local"):
        if metrics[f"test_{stream}_accuracy"] is not None:
            parts.append(f"{stream} {metrics[f'test_{stream}_accuracy']:.1%}")
    parts += [
        f"top-5 {metrics['test_top5_accuracy']:.1%}",
        f"{metrics['multiply_adds'] / 1e6:.0f} M multiply-adds",
        f"{metrics['seconds']:.0f} s",
    ]
    return f"{', '.join(parts)}\nWritten: {run_dir}/{{model.keras,metrics.json,focus.png,…}}"


class Clock(keras.callbacks.Callback):
    """Adds up the seconds of each phase of a run."""

    def __init__(self):
        super().__init__()
        self.seconds = {}
        self.steps = 0
        self._phase = None

    def start(self, phase):
        """End the phase under way and start another."""
        self.stop()
        self._phase, self._since = phase, time.perf_counter()

    def stop(self):
        """End the phase under way."""
        if self._phase:
            elapsed = time.perf_counter() - self._since
            self.seconds[self._phase] = self.seconds.get(self._phase, 0.0) + elapsed
        self._phase = None

    def on_epoch_begin(self, epoch, logs=None):
        self.start("training")

    def on_train_batch_end(self, batch, logs=None):
        self.steps += 1

    def on_test_begin(self, logs=None):
        self.start("validation")

    def on_test_end(self, logs=None):
        self.start("files")

    def images_per_second(self, batch_size):
        """Return the mean training rate, the first step's compilation included."""
        seconds = self.seconds.get("training")
        return self.steps * batch_size / seconds if seconds else None

    def summary(self):
        """Return the phases and their seconds in one line."""
        return ", ".join(f"{phase} {seconds:.0f} s" for phase, seconds in self.seconds.items())


def _schedule(config, steps_per_epoch):
    total = config.epochs * steps_per_epoch
    if config.schedule == "step":
        rates = [config.learning_rate * 0.1**k for k in range(3)]
        boundaries = [math.ceil(total / 3), math.ceil(total * 2 / 3)]
        return keras.optimizers.schedules.PiecewiseConstantDecay(boundaries, rates)
    warmup = max(1, total // 20)
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0,
        decay_steps=max(1, total - warmup),
        warmup_target=config.learning_rate,
        warmup_steps=warmup,
    )


def _progress(run, monitor):
    """Return the epochs that a run has behind it, and the best of a metric so far."""
    backup = run.path("backup") / "training_metadata.json"
    if not backup.exists():
        return 0, None
    done = json.loads(backup.read_text())["epoch"]
    with run.path("history.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if int(row["epoch"]) < done]
    return done, max(float(row[monitor]) for row in rows)


def _sized(config, source, model, split):
    """Return a split's evaluation batches and how many there are."""
    return _evaluation(config, source, model, split), math.ceil(
        source.splits[split].size / config.batch_size
    )


def _evaluation(config, source, model, split):
    return pipeline.evaluation_batches(
        source.splits[split], model.image_size, config.batch_size, model.num_classes
    )


def _draw_focus(run, source, model, photos=4):
    from rra_keras.explain import focus

    test = source.splits["test"]
    stride = max(1, test.size // photos)
    spread = dataclasses.replace(test, examples=lambda seed: test.examples(seed).shard(stride, 0))
    batches = pipeline.evaluation_batches(spread, model.image_size, photos, model.num_classes)
    images, labels = next(batches.as_numpy_iterator())
    with run.replacing("focus.png") as path:
        focus.draw(model, images, labels.argmax(-1), source.class_names, path)
