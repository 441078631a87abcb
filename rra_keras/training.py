"""One training, from a configuration to a finished run directory."""

import csv
import dataclasses
import importlib.metadata
import json
import math
import shutil

import keras

from rra_keras import costs, data
from rra_keras.backbones import minimum_size
from rra_keras.classifier import RRAClassifier
from rra_keras.clock import Clock
from rra_keras.data import pipeline
from rra_keras.layers.zoom_crop import as_pair
from rra_keras.metrics import accuracies, collect, predictions_csv
from rra_keras.run import Run

_PACKAGES = ("rra-keras", "keras", "tensorflow", "keras-cv", "tensorflow-datasets")


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
        sizes |= {
            "view_size": config.model.get("view_size"),
            "patch_size": min(as_pair(config.model["patch_size"])),
        }
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

    Raises:
        FloatingPointError: if the loss is no longer finite.
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
    history = model.fit(
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
            keras.callbacks.BackupAndRestore(
                run.path("backup"), double_checkpoint=True, delete_checkpoint=False
            ),
        ],
    )
    if not all(map(math.isfinite, history.history.get("loss", []))):
        raise FloatingPointError(
            f"Training in {run} stopped at a loss that is not finite. Try a lower `learning_rate` "
            f"than {config.learning_rate:g}, with --overwrite"
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
    names = source.splits["test"].names
    run.write_text("test.csv", predictions_csv(streams, labels, source.class_names, names))
    run.write_json("metrics.json", metrics)
    shutil.rmtree(run.path("backup"))
    clock.stop()
    print("Where the time went: " + clock.summary())
    return metrics


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
