"""What a trained model is worth, and the run's last files."""

import importlib.metadata

import numpy as np

from rra_keras import answers
from rra_keras.data.splits import by_turns
from rra_keras.measures.fixations import reads
from rra_keras.measures.unknown import fit_known_score, fit_threshold, is_known
from rra_keras.models import costs
from rra_keras.runs import Run, collect, files
from rra_keras.runs.run import command_line
from rra_keras.training.final import take_calibration

KNOWN_PHOTOS = 500  # enough for a space of 64 dimensions
_PACKAGES = ("rra-keras", "keras", "tensorflow", "keras-cv", "tensorflow-datasets")


def finish(config, run, source, model, clock, val_accuracy):
    """Calibrate a trained model, test it, once, and write the run's last files.

    1. Let its `calibration` learn what features training photos have, from some of them.
    2. Run it over the validation split and, once, the test split.
    3. Fit the attention over fixations, the temperature and the threshold of "none of these" to
       what it says of the validation split.
    4. Write `model.keras`, `test.csv` and, last, `metrics.json`.

    A run with `final` has no photos left for 2 and 3: it takes over what was fitted in the run that
    was measured.

    Args:
        config: the run's `Config`.
        run: the `Run`.
        source: the `Source` it was trained on.
        model: the trained model.
        clock: the `Clock` of the training.
        val_accuracy: the model's accuracy on the validation split, of only the first fixation.

    Returns:
        The content of `metrics.json`.
    """
    train = source.splits["train"]
    if not config.final:
        print(
            "Calibrating on validation, and testing, once:",
            flush=True,
        )
    clock.start("calibration and test")
    some = train.subset(by_turns(train.labels, KNOWN_PHOTOS, config.seed))
    names = ("fixation_logits" if model.attention else "logits", "vector")
    seen, _ = collect(model, some, names, config.batch_size)
    first = [values[:, 0] if values.ndim == 3 else values for values in seen.values()]
    model.calibration.learn(*fit_known_score(*first, model.calibration.dimensions))
    if config.final:
        return _unmeasured(config, run, source, model, clock)

    validation, test = source.splits["validation"], source.splits["test"]
    names = ("logits", "score")
    if model.attention:
        names = ("fixation_logits", "fixation_scores", "distinct", "refinements")
    elif hasattr(model, "steps"):
        names = ("logits", "score", "global_logits", "local_logits")
    # Both at once, as a model is traced but once.
    seen, labels = collect(model, [validation, test], names, config.batch_size)
    held_out = slice(validation.size)
    extra, answer, calibration = {}, answers.of(model.answer), model.calibration
    if model.attention:
        attention = model.fixation_attention
        places = ("fixation_logits", "fixation_scores", "distinct")
        logits, _, distinct = (seen[name][held_out] for name in places)
        answer.fit_attention(attention, logits, distinct, labels[held_out])
        seen["logits"], seen["score"] = answer.combine(attention, *(seen[name] for name in places))
    scores = seen["score"].reshape(len(labels))
    answer.fit(calibration, seen["logits"][held_out], labels[held_out])
    of_a_class = answer.labeled(labels[held_out])
    calibration.known_from = fit_threshold(scores[held_out][of_a_class])
    if model.attention:
        extra = _by_fixation(model, seen, labels, validation.size)
    logits, scores = seen["logits"][validation.size :], scores[validation.size :]
    extra |= {
        f"test_{name.removesuffix('_logits')}_accuracy": float(
            np.mean(seen[name][validation.size :].argmax(-1) == labels[validation.size :])
        )
        for name in ("global_logits", "local_logits")
        if name in seen
    }
    labels = labels[validation.size :]
    rows = answer.rows(calibration, logits, scores, source.class_names, labels, test.names)
    run.write_text("test.csv", files.table(rows))
    figures = answer.figures(calibration, logits, labels)
    metrics = {
        "answer": model.answer,
        **{f"test_{name}": value for name, value in figures.items()},
        "test_known": float(is_known(scores, calibration.known_from).mean()),
        **extra,
        "temperature": calibration.temperature,
        "known_from": calibration.known_from,
        "val_accuracy": val_accuracy,
    }
    return _written(config, run, model, clock, metrics)


def _unmeasured(config, run, source, model, clock):
    """Take over the calibration of the measured run, and write the files."""
    measured = Run.open(config.final)
    take_calibration(model, measured.load_model())
    before = measured.metrics
    return _written(
        config,
        run,
        model,
        clock,
        {
            "answer": model.answer,
            "measured": {name: value for name, value in before.items() if name[:5] == "test_"},
            "measured_run": config.final,
            "photos": source.splits["train"].size,
        },
    )


def _written(config, run, model, clock, metrics):
    """Write `model.keras` and, last, `metrics.json`; return its content."""
    clock.start("counting multiply-adds")
    multiply_adds = costs.multiply_adds(model)
    clock.start("model file")
    with run.replacing("model.keras") as path:
        model.save(path)
    clock.stop()
    metrics = {
        **metrics,
        "parameters": costs.parameters(model),
        "multiply_adds": multiply_adds,
        "train_images_per_second": clock.images_per_second(config.batch_size),
        "seconds": sum(clock.seconds.values()),
        "epochs": config.epochs,
        "seed": config.seed,
        "dataset": config.dataset,
        "num_classes": model.num_classes,
        "command": command_line(),
        "versions": {name: importlib.metadata.version(name) for name in _PACKAGES},
    }
    run.write_json("metrics.json", metrics)
    print("Where the time went: " + clock.summary())
    return metrics


def _by_fixation(model, seen, labels, start):
    """Return what more fixations are worth on the test split, and how many it took to be sure."""
    attention, answer = model.fixation_attention, answers.of(model.answer)
    test = {name: values[start:] for name, values in seen.items()}
    labels = labels[start:]
    places = [test[name] for name in ("fixation_logits", "fixation_scores", "distinct")]
    sure_from, worth = attention.sure_from, []
    attention.sure_from = None  # all of so many
    for count in range(1, places[2].shape[1] + 1):
        logits, _ = answer.combine(attention, *(values[:, :count] for values in places))
        worth.append(answer.figures(model.calibration, logits, labels)[answer.monitor])
    attention.sure_from = sure_from
    evidence = test["fixation_logits"].max(axis=-1)
    read = reads(evidence, test["distinct"], sure_from)
    return {
        f"test_{answer.monitor}_by_fixations": worth,
        "test_reads": float(read.sum(axis=1).mean()),
        "test_refinements": float(test["refinements"][:, 0].mean()),
        "attention_temperature": attention.temperature,
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
    answer, measured = answers.of(metrics.get("answer", "one")), metrics.get("measured")
    if measured:
        said = answer.headline(measured)
        return (
            f"Trained on all {metrics['photos']} photos, so it cannot be measured on them. "
            f"{metrics['measured_run']}, trained the same way on part of them: {said}\n"
            f"Written: {run_dir}/{{model.keras,metrics.json,…}}"
        )
    parts = [answer.headline(metrics)]
    if "test_reads" in metrics:
        parts.append(f"{metrics['test_reads']:.2f} fixations a photo")
    parts += [
        f"{metrics['multiply_adds'] / 1e6:.0f} M multiply-adds"
        f"{' for one' if 'test_reads' in metrics else ''}",
        f"{metrics['seconds']:.0f} s",
    ]
    return f"{', '.join(parts)}\nWritten: {run_dir}/{{model.keras,metrics.json,test.csv,…}}"
