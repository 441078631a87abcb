"""One export: write every file, measure it, check it and print a table."""

import json

import numpy as np

from export import early_stop, flatbuffer, inference, limits, measure, saved_model, tflite
from export.reference import keras_reference
from rra_keras.data import pipeline
from rra_keras.data.splits import by_turns
from rra_keras.measures.calibration import fit_temperature, probabilities
from rra_keras.measures.unknown import fit_threshold, max_logit
from rra_keras.models import costs

_BATCH_SIZE = 16


def write(model, run, source, folder, options):
    """Write the files and `report.json` into a new folder, and print the table.

    Args:
        model: an `RRAClassifier`.
        run: its `Run`.
        source: the data to verify on.
        folder: a `pathlib.Path`, made here.
        options: `precision`, `calibration_images`, `verify_images`, `latency_runs`, `gpu_images`.

    Returns:
        What the files fall short of, a line each.
    """

    def batches_of(split):
        return pipeline.evaluation_batches(split, model.image_size, _BATCH_SIZE, model.num_classes)

    train, validation = source.splits["train"], source.splits["validation"]
    missing = options.verify_images - validation.size
    more = [train.subset(by_turns(train.labels, missing))] if missing > 0 else []
    reference = keras_reference(model, [validation, *more], batches_of)
    known = len(reference.labels)
    keras_logits = reference.expected["logits"]
    report = {
        "model": str(run.path("model.keras")),
        "dataset": source.name,
        "images": {"validation": known, "compared": len(keras_logits)},
        "machine": measure.machine(),
        "keras": {
            "accuracy": float(np.mean(np.argmax(keras_logits[:known], -1) == reference.labels)),
            "multiply_adds": costs.multiply_adds(model),
            "parameters": costs.parameters(model),
        },
        "files": {},
    }
    folder.mkdir()

    signatures = inference.Signatures(inference.rebuild(model, "tf_image"))
    saved_model.write(signatures, folder / "saved_model", {"serving_default": "full"})
    report["files"]["saved_model"] = measure.saved_model_report(folder / "saved_model", reference)

    glance_temperature, known_from = 1.0, {"full": model.known_from}
    if model.looks:
        glance_logits = reference.expected["glance_logits"][:known]
        glance_temperature = fit_temperature(glance_logits, reference.labels)
        known_from["glance"] = fit_threshold(max_logit(glance_logits))
    signatures = inference.Signatures(inference.rebuild(model, "gather"), glance_temperature)
    calibration = train.subset(by_turns(train.labels, options.calibration_images))
    examples = [image.numpy()[None] for batch, _ in batches_of(calibration) for image in batch]
    contents = tflite.convert(signatures, options.precision, examples)
    metadata = {
        "image_size": model.image_size,
        "confidence": None,
        "refinements": model.framing.refinements if model.learns_where else 0,
        "temperature": signatures.temperatures,
        "known_from": known_from,
    }
    if "glance" in signatures.inputs:
        content = next(iter(contents.values()))
        report["glance"] = _calibrate(reference, glance_temperature, content)
        metadata["confidence"] = report["glance"]["confidence"]
    for precision, content in contents.items():
        path = folder / f"model_{precision}.tflite"
        path.write_bytes(tflite.attach(content, run.class_names, metadata))
        report["files"][path.name] = measure.tflite_report(
            path, reference, options.latency_runs, options.gpu_images
        )
    refinements = metadata["refinements"]
    (folder / "report.json").write_text(json.dumps(report, indent=2) + "\n", "utf-8")
    print(table(report))
    return [
        failure
        for name, measured in report["files"].items()
        for failure in limits.failures(
            name, measured, report["keras"]["accuracy"], known, refinements
        )
    ]


def _calibrate(reference, temperature, content):
    """Calibrate the glance's confidence on the validation split."""
    known = len(reference.labels)
    glance, logits = (reference.expected[name][:known] for name in ("glance_logits", "logits"))
    multiply_adds = flatbuffer.multiply_adds(flatbuffer.read(content))
    refined = reference.expected.get("refined", np.zeros(len(reference.expected["logits"])))
    costs = early_stop.costs(multiply_adds, refined[:known])
    shares = probabilities(glance, temperature)
    points = early_stop.curve(shares, logits, reference.labels, multiply_adds["glance"], costs)
    chosen = early_stop.point_at(points, early_stop.calibrate(points))
    return {**chosen, "curve": early_stop.thin(points)}


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
    if "glance" in report:
        glanced = report["glance"]
        lines.append(
            f"glance: from a confidence of {glanced['confidence']:.3f} on it answers for "
            f"{glanced['share']:.0%} of the images: accuracy {glanced['accuracy']:.1%} at "
            f"{glanced['multiply_adds'] / 1e6:,.0f} M multiply-adds on average"
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
