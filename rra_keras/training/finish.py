"""What a trained model is worth, and the run's last files."""

import importlib.metadata
import itertools
import math
import shlex
import sys

from rra_keras.data import pipeline
from rra_keras.data.splits import by_turns
from rra_keras.measures.calibration import calibration_errors, fit_temperature
from rra_keras.measures.predictions import accuracies, predictions_csv
from rra_keras.measures.unknown import fit_known_score, fit_threshold, is_known
from rra_keras.models import costs
from rra_keras.training.evaluation import collect

KNOWN_PHOTOS = 500  # enough for a space of 64 dimensions
_PACKAGES = ("rra-keras", "keras", "tensorflow", "keras-cv", "tensorflow-datasets")


def finish(config, run, source, model, clock, val_accuracy):
    """Calibrate a trained model, test it, once, and write the run's last files.

    1. Let its `known_score` learn from some training photos.
    2. Run it over the validation split and, once, the test split.
    3. Fit its `temperature` and `known_from` to what it says of the validation split.
    4. Write `model.keras`, `test.csv` and, last, `metrics.json`.

    Args:
        config: the run's `Config`.
        run: the `Run`.
        source: the `Source` it was trained on.
        model: the trained model.
        clock: the `Clock` of the training.
        val_accuracy: the model's accuracy on the validation split.

    Returns:
        The content of `metrics.json`.
    """
    validation, test = source.splits["validation"], source.splits["test"]
    print(
        "Calibrating on validation, and testing, once, with the weights that were best there:",
        flush=True,
    )
    clock.start("calibration and test")
    _learn_known(model, source.splits["train"], config)
    batches = [
        pipeline.evaluation_batches(split, model.image_size, config.batch_size, model.num_classes)
        for split in (validation, test)
    ]
    steps = sum(math.ceil(split.size / config.batch_size) for split in (validation, test))
    names = (*model.streams, "score")
    seen, labels = collect(model, itertools.chain(*batches), steps, names)  # traced but once
    model.temperature = fit_temperature(
        seen["logits"][: validation.size], labels[: validation.size]
    )
    model.known_from = fit_threshold(seen["score"][: validation.size, 0])
    streams = {name: values[validation.size :] for name, values in seen.items()}
    scores = streams.pop("score")[:, 0]
    labels = labels[validation.size :]
    clock.start("counting multiply-adds")
    multiply_adds = costs.multiply_adds(model)
    clock.start("model file")
    with run.replacing("model.keras") as path:
        model.save(path)
    run.write_text("test.csv", predictions_csv(streams, labels, source.class_names, test.names))
    clock.stop()
    metrics = {
        **{f"test_{name}": value for name, value in accuracies(streams, labels).items()},
        **{
            f"test_{name}": value
            for name, value in calibration_errors(
                streams["logits"], labels, model.temperature
            ).items()
        },
        "test_known": float(is_known(scores, model.known_from).mean()),
        "temperature": model.temperature,
        "known_from": model.known_from,
        "val_accuracy": val_accuracy,
        "parameters": costs.parameters(model),
        "multiply_adds": multiply_adds,
        "train_images_per_second": clock.images_per_second(config.batch_size),
        "seconds": sum(clock.seconds.values()),
        "seed": config.seed,
        "dataset": config.dataset,
        "num_classes": model.num_classes,
        "command": shlex.join(["python", *sys.argv]),
        "versions": {name: importlib.metadata.version(name) for name in _PACKAGES},
    }
    run.write_json("metrics.json", metrics)
    print("Where the time went: " + clock.summary())
    return metrics


def _learn_known(model, train, config):
    """Let a model's `known_score` learn what features training photos have, from some of them."""
    train = train.subset(by_turns(train.labels, KNOWN_PHOTOS, config.seed))
    batches = pipeline.evaluation_batches(
        train, model.image_size, config.batch_size, model.num_classes
    )
    steps = math.ceil(train.size / config.batch_size)
    seen, _ = collect(model, batches, steps, ("logits", "vector"))
    score = model.known_score
    score.learn(*fit_known_score(seen["logits"], seen["vector"], score.dimensions))


def report_line(metrics, run_dir):
    """Return a run's result in one line, and where it was written in a second one.

    Args:
        metrics: the content of `metrics.json`.
        run_dir: the run's directory.

    Example:
        metrics = {"test_accuracy": 0.8, "test_top5_accuracy": 0.9, "multiply_adds": 2e6}
        metrics |= {"test_glance_accuracy": 0.4, "test_look_accuracy": 0.7, "seconds": 60}
        print(training.report_line(metrics, "runs/mine"))
    """
    parts = [f"Test accuracy {metrics['test_accuracy']:.1%}"]
    for stream in ("glance", "look"):
        if metrics[f"test_{stream}_accuracy"] is not None:
            parts.append(f"{stream} {metrics[f'test_{stream}_accuracy']:.1%}")
    parts += [
        f"top-5 {metrics['test_top5_accuracy']:.1%}",
        f"{metrics['multiply_adds'] / 1e6:.0f} M multiply-adds",
        f"{metrics['seconds']:.0f} s",
    ]
    return f"{', '.join(parts)}\nWritten: {run_dir}/{{model.keras,metrics.json,test.csv,…}}"
