"""What a trained model is worth, and the run's last files."""

import importlib.metadata
import shlex
import sys

import numpy as np

from rra_keras.data.splits import by_turns
from rra_keras.measures.calibration import calibration_errors, fit_temperature
from rra_keras.measures.fixations import combine, fit_attention, reads
from rra_keras.measures.predictions import accuracies, prediction_rows
from rra_keras.measures.unknown import fit_known_score, fit_threshold, is_known
from rra_keras.models import costs
from rra_keras.runs import collect, files

KNOWN_PHOTOS = 500  # enough for a space of 64 dimensions
_PACKAGES = ("rra-keras", "keras", "tensorflow", "keras-cv", "tensorflow-datasets")


def finish(config, run, source, model, clock, val_accuracy):
    """Calibrate a trained model, test it, once, and write the run's last files.

    1. Let its `calibration` learn what features training photos have, from some of them.
    2. Run it over the validation split and, once, the test split.
    3. Fit the attention over fixations, the temperature and the threshold of "none of these" to
       what it says of the validation split.
    4. Write `model.keras`, `test.csv` and, last, `metrics.json`.

    Args:
        config: the run's `Config`.
        run: the `Run`.
        source: the `Source` it was trained on.
        model: the trained model.
        clock: the `Clock` of the training.
        val_accuracy: the model's accuracy on the validation split, of the first fixation alone.

    Returns:
        The content of `metrics.json`.
    """
    train, validation, test = (source.splits[name] for name in ("train", "validation", "test"))
    print(
        "Calibrating on validation, and testing, once, with the weights that were best there:",
        flush=True,
    )
    clock.start("calibration and test")
    some = train.subset(by_turns(train.labels, KNOWN_PHOTOS, config.seed))
    names = ("fixation_logits" if model.attention else "logits", "vector")
    seen, _ = collect(model, some, names, config.batch_size)
    first = [values[:, 0] if values.ndim == 3 else values for values in seen.values()]
    model.calibration.learn(*fit_known_score(*first, model.calibration.dimensions))

    names = ("logits", "score")
    if model.attention:
        names = ("fixation_logits", "fixation_scores", "distinct", "refinements")
    elif hasattr(model, "steps"):
        names = ("logits", "score", "global_logits", "local_logits")
    # Both at once, as a model is traced but once.
    seen, labels = collect(model, [validation, test], names, config.batch_size)
    held_out = slice(validation.size)
    extra = {}
    if model.attention:
        attention = model.fixation_attention
        temperature, sure_from = fit_attention(
            seen["fixation_logits"][held_out], seen["distinct"][held_out], labels[held_out]
        )
        attention.temperature, attention.sure_from = temperature, sure_from
        extra = _by_fixation(seen, labels, validation.size, temperature, sure_from)
        seen["logits"], seen["score"], _ = combine(
            seen["fixation_logits"],
            seen["fixation_scores"],
            seen["distinct"],
            temperature,
            sure_from,
        )
    scores = seen["score"].reshape(len(labels))
    model.calibration.temperature = fit_temperature(seen["logits"][held_out], labels[held_out])
    model.calibration.known_from = fit_threshold(scores[held_out])
    logits, scores = seen["logits"][validation.size :], scores[validation.size :]
    extra |= {
        f"test_{name.removesuffix('_logits')}_accuracy": float(
            np.mean(seen[name][validation.size :].argmax(-1) == labels[validation.size :])
        )
        for name in ("global_logits", "local_logits")
        if name in seen
    }
    labels = labels[validation.size :]
    clock.start("counting multiply-adds")
    multiply_adds = costs.multiply_adds(model)
    clock.start("model file")
    with run.replacing("model.keras") as path:
        model.save(path)
    calibration = model.calibration
    rows = prediction_rows(
        logits,
        scores,
        source.class_names,
        calibration.temperature,
        calibration.known_from,
        labels,
        test.names,
    )
    run.write_text("test.csv", files.table(rows))
    clock.stop()
    errors = calibration_errors(logits, labels, calibration.temperature)
    metrics = {
        **{f"test_{name}": value for name, value in accuracies(logits, labels).items()},
        **{f"test_{name}": value for name, value in errors.items()},
        "test_known": float(is_known(scores, calibration.known_from).mean()),
        **extra,
        "temperature": calibration.temperature,
        "known_from": calibration.known_from,
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


def _by_fixation(seen, labels, start, temperature, sure_from):
    """Return what more fixations are worth on the test split, and how many it took to be sure."""
    test = {name: values[start:] for name, values in seen.items()}
    labels = labels[start:]
    accuracy = []
    for count in range(1, test["distinct"].shape[1] + 1):
        logits, *_ = combine(
            test["fixation_logits"][:, :count],
            test["fixation_scores"][:, :count],
            test["distinct"][:, :count],
            temperature,
        )
        accuracy.append(float(np.mean(logits.argmax(-1) == labels)))
    evidence = test["fixation_logits"].max(axis=-1)
    read = reads(evidence, test["distinct"], sure_from)
    return {
        "test_accuracy_by_fixations": accuracy,
        "test_reads": float(read.sum(axis=1).mean()),
        "test_refinements": float(test["refinements"][:, 0].mean()),
        "attention_temperature": temperature,
        "sure_from": sure_from,
    }


def report_line(metrics, run_dir):
    """Return a run's result in one line, and where it was written in a second one.

    Args:
        metrics: the content of `metrics.json`.
        run_dir: the run's directory.

    Example:
        metrics = {"test_accuracy": 0.8, "test_top5_accuracy": 0.9, "multiply_adds": 2e6}
        metrics |= {"test_reads": 1.4, "seconds": 60}
        print(training.report_line(metrics, "runs/mine"))
    """
    parts = [
        f"Test accuracy {metrics['test_accuracy']:.1%}",
        f"top-5 {metrics['test_top5_accuracy']:.1%}",
    ]
    if "test_reads" in metrics:
        parts.append(f"{metrics['test_reads']:.2f} fixations a photo")
    parts += [
        f"{metrics['multiply_adds'] / 1e6:.0f} M multiply-adds"
        f"{' for one' if 'test_reads' in metrics else ''}",
        f"{metrics['seconds']:.0f} s",
    ]
    return f"{', '.join(parts)}\nWritten: {run_dir}/{{model.keras,metrics.json,test.csv,…}}"
