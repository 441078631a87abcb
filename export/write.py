"""One export: write every file, measure it, check it and print a table."""

import dataclasses
import json
import pathlib

import numpy as np

from rra_keras import answers, cli
from rra_keras.data import pipeline
from rra_keras.data.splits import by_turns
from rra_keras.models import costs

from . import output_folder
from .convert import inference, quantize, saved_model, tflite
from .verify import limits, measure
from .verify.reference import BATCH_SIZE, keras_reference


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """What to write, and how thoroughly to check it.

    Attributes:
        precision: TFLite files to write, of `fp32`, `fp16` and `int8`.
        known_from: least score of a photo that is given a class; the model's own unless given.
        calibration_images: training images that int8 takes its biases from.
        verify_images: least images to compare with Keras.
        latency_runs: runs of each latency.
        gpu_images: images to run on a GPU, if one is found.
    """

    precision: tuple = ("fp32", "fp16", "int8")
    known_from: float | None = None
    calibration_images: int = 100
    verify_images: int = 200
    latency_runs: int = 50
    gpu_images: int = 4


OPTIONS = tuple(field.name for field in dataclasses.fields(Options))


def export(run, out=None, overwrite=False, dataset=None, data_dir=None, options=None):
    """Export a run into a folder, which appears whole or not at all.

    Args:
        run: a finished `Run`.
        out: new folder; `export` in the run unless given.
        overwrite: replace the export that is there.
        dataset: data to verify on; the run's own unless given.
        data_dir: where named data sets are kept.
        options: `Options`.

    Returns:
        The folder, and what the files fall short of, a line each: with any, it is not written.

    Raises:
        ValueError: if folder, run or data cannot be used.
        OSError: if files cannot be read or written.
    """
    options = options or Options()
    out = pathlib.Path(out or run.path("export"))
    output_folder.check_available(out, "an export", ["report.json"], overwrite)
    source, model = run.load_data(dataset, data_dir), run.load_model()
    if options.known_from is not None:
        model.calibration.known_from = options.known_from
    cli.tell(source.changes)
    with output_folder.scratch_beside(out) as scratch:
        failures = write(model, run, source, scratch / "new", options)
        if not failures:
            output_folder.replace_folder(scratch / "new", out)
    return out, failures


def write(model, run, source, folder, options):
    """Write the files and `report.json` into a new folder, and print the table.

    Args:
        model: a classifier of this package.
        run: its `Run`.
        source: the data to verify on.
        folder: a `pathlib.Path`, made here.
        options: `Options`.

    Returns:
        What the files fall short of, a line each.
    """
    train, validation = source.splits["train"], source.splits["validation"]
    missing = options.verify_images - validation.size
    more = [train.subset(by_turns(train.labels, missing))] if missing > 0 else []
    reference = keras_reference(model, [validation, *more])
    known = len(reference.labels)
    keras_logits = reference.expected["logits"]
    answer = answers.of(model.answer)
    right = answer.right(model.calibration, keras_logits[:known], reference.labels)
    report = {
        "model": str(run.model_path),
        "dataset": source.name,
        "images": {"validation": known, "compared": len(keras_logits)},
        "machine": measure.machine(),
        "keras": {
            "accuracy": float(np.mean(right)),
            "multiply_adds": costs.multiply_adds(model),
            "parameters": costs.parameters(model),
        },
        "files": {},
    }
    folder.mkdir()

    signatures = inference.Signatures(inference.rebuild(model, "tf_image"))
    saved_model.write(signatures, folder / "saved_model", {"serving_default": "full"})
    report["files"]["saved_model"] = measure.saved_model_report(folder / "saved_model", reference)

    signatures = inference.Signatures(inference.rebuild(model, "gather"))
    calibration = train.subset(by_turns(train.labels, options.calibration_images))
    batches = pipeline.evaluation_batches(calibration, model.image_size, BATCH_SIZE)
    examples = [image.numpy()[None] for images, _ in batches for image in images]
    contents = tflite.convert(signatures, options.precision, examples)
    if "int8" in contents:
        report["float_behind"] = quantize.unfused(contents["int8"])
    about = metadata(model)
    for precision, content in contents.items():
        path = folder / f"model_{precision}.tflite"
        path.write_bytes(tflite.attach(content, run.class_names, about))
        report["files"][path.name] = measure.tflite_report(
            path, reference, options.latency_runs, options.gpu_images
        )
    (folder / "report.json").write_text(json.dumps(report, indent=2) + "\n", "utf-8")
    print(table(report))
    recursive = about["refinements"] > 1 or about["fixations"] > 1
    return [
        failure
        for name, measured in report["files"].items()
        for failure in limits.failures(
            name, measured, report["keras"]["accuracy"], known, len(keras_logits), recursive
        )
    ]


def metadata(model):
    """Return what a device needs to know of a model beside its weights.

    Returns:
        A dict of `image_size`; `fixations` and `refinements`, at most, 0 for a model that is run in
        one call; `attention_temperature` and `sure_from` of the attention over fixations;
        `temperature` and `known_from` of the answer; `thresholds`, the least probability of each
        class where a photo may be of several. `None` where there is no such threshold.
    """
    attention, calibration = model.attention, model.calibration
    return {
        "image_size": model.image_size,
        "fixations": attention.max_fixations if attention else 0,
        "refinements": attention.max_refinements if attention else 0,
        "attention_temperature": model.fixation_attention.temperature if attention else 1.0,
        "sure_from": model.fixation_attention.sure_from if attention else None,
        "temperature": calibration.temperature,
        "known_from": calibration.known_from,
        "thresholds": calibration.thresholds.tolist() if model.answer == "any" else None,
    }


def table(report):
    """Return the report as a table for the screen."""
    keras = report["keras"]
    machine = report["machine"]
    lines = [
        f"{report['model']}: {keras['accuracy']:.1%} of {report['images']['validation']} "
        f"validation images with Keras, {keras['multiply_adds'] / 1e6:,.0f} M multiply-adds; "
        f"compared on {report['images']['compared']} images",
        "",
        f"{'file':18} {'MB':>6} {'ops':>5} {'accuracy':>8} {'agree':>7} {'Δ logits':>9} "
        f"{'Δ boxes':>8} {'p99':>8} {'1 thread':>14} {'2 threads':>14}  GPU",
    ]
    for name, row in report["files"].items():
        counts = row["operators"].get("full", row["operators"])
        counts = sum(counts.values())
        latencies = [_milliseconds(each) for each in row.get("latency_ms", {}).values()] or [""] * 2
        lines.append(
            f"{name:18} {row['bytes'] / 1e6:6.2f} {counts:5} {row['accuracy']:8.1%} "
            f"{row['agreement']:7.1%} {_number(row['logits_max_difference']):>9} "
            f"{_number(row.get('boxes_max_difference', '')):>8} "
            f"{_number(row.get('boxes_p99_difference', '')):>8} "
            f"{latencies[0]:>14} {latencies[1]:>14}  {_gpu(row.get('gpu'))}"
        )
    lines.append(
        f"\nlatencies: median (p90) in ms of one image, XNNPACK, {machine['cpu']}, load "
        f"{machine['load_average']:.1f} on {machine['cores']} cores before the export"
    )
    for name, row in report["files"].items():
        if pieces := row.get("by_fixation"):
            spent = pieces["multiply_adds"]
            lines.append(
                f"{name}, piece by piece: {pieces['accuracy']:.1%}, as Keras "
                f"{pieces['agreement']:.1%}, {pieces['reads']:.2f} fixations, "
                f"{spent['average'] / 1e6:,.0f} M multiply-adds on average, "
                f"{spent['most'] / 1e6:,.0f} M at most"
            )
    for name, row in report["files"].items():
        if half := row.get("half_floats"):
            line = (
                f"{name}, in half floats: {half['accuracy']:.1%}, as Keras {half['agreement']:.1%}"
            )
            if "known_agreement" in half:
                line += f", known or not as Keras {half['known_agreement']:.1%}"
            if half["agreement"] < limits.HALF:
                line += f". That is below {limits.HALF:.0%}: ask a GPU for float32"
            lines.append(line)
    if names := report.get("float_behind"):
        lines.append(
            f"int8: convolutions behind {', '.join(names)} stay float32; those behind ReLU and "
            "ReLU6 are quantized"
        )
    if (count := report["images"]["compared"]) < limits.FEW:
        lines.append(
            f"{count} images are few to judge by: agreement was held to {limits.ROUGH:.0%} only"
        )
    return "\n".join(lines)


def _number(value):
    return value if isinstance(value, str) else "not finite" if value is None else f"{value:.1e}"


def _milliseconds(summary):
    return f"{summary['median']:.1f} ({summary['p90']:.1f})"


def _gpu(measured):
    if not measured:
        return ""
    if "latency_ms" not in measured:
        return f"fails on {measured['adapter']}"
    extent = "whole" if measured["fully_accelerated"] else "in part"
    moved = _number(measured["max_difference"]["probabilities"])
    return (
        f"{extent} on {measured['adapter']}, Δ probabilities {moved}, "
        f"{_milliseconds(measured['latency_ms'])} ms"
    )
