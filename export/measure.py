"""What each exported file is measured on, and what it must reach."""

import collections
import dataclasses
import os
import pathlib
import time

import numpy as np
import tensorflow as tf

from export import flatbuffer, glance, gpu
from export.classify import Classifier

# `agreement`: least share of images whose first class is Keras'; `boxes_max`, `boxes_p99`: most by
# which boxes may differ; `drop`: most accuracy to lose, beyond what chance explains; `gpu`: most by
# which boxes and probabilities on the GPU may differ from those on the CPU.
LIMITS = {
    "saved_model": {"agreement": 0.999, "boxes_max": 1e-3},
    "model_fp32.tflite": {"agreement": 0.999, "boxes_max": 1e-3, "gpu": 1e-2},
    "model_fp16.tflite": {"agreement": 0.995, "boxes_p99": 1e-2, "gpu": 5e-2},
    "model_int8.tflite": {"drop": 0.01},
}
_WHOLE_ON_GPU = ("model_fp32.tflite", "model_fp16.tflite")


@dataclasses.dataclass(frozen=True)
class Images:
    """Real images, their labels, and what Keras says of them.

    Attributes:
        batches: yields `(B, S, S, 3)` arrays, each time anew.
        labels: `(V,)` integers, of the validation split, which comes first.
        expected: a dict of `logits` `(N, C)`, and with looks `boxes` `(N, looks, 4)` and
            `glance_logits` `(N, C)`.
    """

    batches: collections.abc.Callable
    labels: np.ndarray
    expected: dict


def look_at(model, splits, batches_of):
    """Ask Keras → `Images`.

    Args:
        model: an `RRAClassifier`.
        splits: the validation split, and further ones to compare on.
        batches_of: split → batches of images and one-hot labels.
    """
    names = ("logits", "boxes", "glance_logits") if model.looks else ("logits",)
    view = model.view(*names)
    outputs, labels = [], []
    for split in splits:
        for images, one_hot in batches_of(split):
            outputs.append(view.predict_on_batch(images))
            if split is splits[0]:
                labels.append(np.argmax(one_hot, axis=-1))
    return Images(
        lambda: (images.numpy() for split in splits for images, _ in batches_of(split)),
        np.concatenate(labels),
        _concatenate(outputs),
    )


def saved_model_report(directory, images):
    """Measure a SavedModel, loaded with TensorFlow alone."""
    loaded = tf.saved_model.load(str(directory))
    serve = loaded.signatures["serving_default"]
    outputs = [serve(images=tf.constant(batch)) for batch in images.batches()]
    nodes = [node for f in serve.graph.as_graph_def().library.function for node in f.node_def]
    return {
        "bytes": sum(file.stat().st_size for file in directory.rglob("*") if file.is_file()),
        "operators": dict(collections.Counter(node.op for node in nodes).most_common()),
        **compare(_concatenate(outputs), images),
    }


def tflite_report(path, images, runs, gpu_images):
    """Measure a TFLite file on the runtime that devices run it on.

    Args:
        path: the file.
        images: `Images`.
        runs: of each latency.
        gpu_images: images to run on the GPU, 0 for none.

    Returns:
        A dict for `report.json`.
    """
    model = flatbuffer.read(path.read_bytes())
    operators = flatbuffer.histogram(model)
    custom = {name for counts in operators.values() for name in counts if name.startswith("custom")}
    costs = flatbuffer.multiply_adds(model)
    classifier = Classifier(path, threads=2)
    outputs = [classifier.run("full", images=each[None]) for b in images.batches() for each in b]
    outputs = _concatenate(outputs)
    first = np.concatenate([batch for batch, _ in zip(images.batches(), range(4), strict=False)])
    report = {
        "bytes": path.stat().st_size,
        "operators": operators,
        "arithmetic": flatbuffer.arithmetic(model),
        "flex_operators": sorted(custom),
        "signatures": {name: list(shapes) for name, shapes in classifier.outputs.items()},
        "multiply_adds": costs,
        **compare(outputs, images),
        "latency_ms": {f"{n}_threads": latency(path, first[:1], runs, n) for n in (1, 2)},
        "gpu": None,
    }
    if "glance" in costs:
        glances = _concatenate(
            [classifier.run("glance", images=each[None]) for b in images.batches() for each in b]
        )
        seen = {name: glances[name][:1] for name in ("boxes", "logits")}
        focus = classifier.run("focus", images=first[:1], **seen)
        apart = focus["probabilities"] - outputs["probabilities"][:1]
        report["focus_max_difference"] = _largest(apart)
        report["glance"] = _glanced(glances, outputs, images, costs, classifier.confidence)
    if gpu_images and (measured := gpu.measure(path, first[:gpu_images])):
        report["gpu"] = _on_gpu(measured, outputs)
    return report


def _on_gpu(measured, outputs):
    """Compare what the GPU said of the first images with what the CPU said."""
    on_gpu, seconds = measured.pop("outputs", {}), measured.pop("seconds", [])
    if not seconds:
        return measured
    count = len(seconds)
    apart = {name: _largest(on_gpu[name] - outputs[name][:count]) for name in on_gpu}
    milliseconds = 1e3 * np.array(seconds[1:] or seconds)  # the first one warms up
    return {
        **measured,
        "images": count,
        "max_difference": apart,
        "latency_ms": _summary(milliseconds),
    }


def _glanced(glances, outputs, images, costs, confidence):
    """Return the accuracy and the average cost with the file's own confidence."""
    known = len(images.labels)
    streams = [each["logits"][:known] for each in (glances, outputs)]
    costs = (costs["glance"], costs["glance"] + costs["focus"])
    points = glance.curve(*streams, images.labels, *costs)
    at = min(np.searchsorted(points["confidence"], confidence), len(points["share"]) - 1)
    return {name: float(values[at]) for name, values in points.items()} | {"confidence": confidence}


def compare(outputs, images):
    """Compare what a file says with what Keras says.

    `accuracy_error` is the standard error of the two accuracies' difference, paired by image. A box
    that moves by a pixel changes what is said of images near a tie, as often for better as for
    worse.
    """
    expected, known = images.expected, len(images.labels)
    first, keras_first = (np.argmax(each["logits"], axis=-1) for each in (outputs, expected))
    right, keras_right = (np.float64(f[:known] == images.labels) for f in (first, keras_first))
    report = {
        "finite": all(bool(np.isfinite(values).all()) for values in outputs.values()),
        "accuracy": float(right.mean()),
        "accuracy_error": float(np.std(right - keras_right) / np.sqrt(known)),
        "agreement": float(np.mean(first == keras_first)),
        "logits_max_difference": _largest(outputs["logits"] - expected["logits"]),
    }
    if "boxes" in expected:
        moved = np.abs(outputs["boxes"] - expected["boxes"]).max(axis=(1, 2))  # (N,)
        report["boxes_max_difference"] = _largest(moved)
        report["boxes_p99_difference"] = _largest(np.quantile(moved, 0.99))
    return report


def latency(path, image, runs, threads, signature="full"):
    """Time single images on the CPU (XNNPACK) → `median` and `p90` in milliseconds."""
    classifier = Classifier(path, threads)
    seconds = []
    for _ in range(3 + runs):  # the first ones warm up
        start = time.perf_counter()
        classifier.run(signature, images=image)
        seconds.append(time.perf_counter() - start)
    return _summary(1e3 * np.array(seconds[3:]))


def failures(name, report, accuracy, images):
    """Return what a file falls short of, a line each.

    Args:
        name: the file's.
        report: what was measured of it.
        accuracy: Keras' on the validation split.
        images: the validation split's.
    """
    limits = LIMITS[name]
    on_gpu = report.get("gpu")
    drop = max(limits.get("drop", 1.0), 1 / images) + 1e-9  # one image may be more than a point
    chance = 1.64 * report["accuracy_error"]  # once in twenty it is more
    agreement = f"agrees with Keras on {report['agreement']:.2%} of the images"
    checks = [
        (report["finite"], "has outputs that are not finite"),
        (not report.get("flex_operators"), f"holds custom ops: {report.get('flex_operators')}"),
        (report["agreement"] >= limits.get("agreement", 0.0), agreement),
        (
            report["accuracy"] >= accuracy - drop - chance,
            f"is right on {report['accuracy']:.2%}, Keras on {accuracy:.2%}",
        ),
        (report.get("focus_max_difference", 0.0) <= 1e-3, "goes on from a glance to another end"),
    ]
    for key in ("boxes_max", "boxes_p99"):
        if key in limits and f"{key}_difference" in report:
            moved = report[f"{key}_difference"]
            checks.append((moved is not None and moved <= limits[key], f"{key} moved by {moved}"))
    if on_gpu:
        whole = on_gpu["fully_accelerated"] or name not in _WHOLE_ON_GPU
        checks.append((whole, f"does not run whole on the GPU: {on_gpu['unsupported']}"))
        apart = on_gpu.get("max_difference", {})
        apart = [apart[key] for key in ("probabilities", "boxes") if key in apart]
        same = None not in apart and max(apart, default=0.0) <= limits.get("gpu", np.inf)
        checks.append((same, f"differs by {apart} on the GPU"))
    return [f"{name} {message}" for passed, message in checks if not passed]


def machine():
    """Describe what the latencies were measured on."""
    model = pathlib.Path("/proc/cpuinfo")
    names = model.read_text().splitlines() if model.exists() else []
    return {
        "cpu": next((n.partition(":")[2].strip() for n in names if n.startswith("model name")), ""),
        "cores": os.cpu_count(),
        "load_average": round(os.getloadavg()[0], 2),
    }


def _concatenate(outputs):
    return {name: np.concatenate([np.asarray(o[name]) for o in outputs]) for name in outputs[0]}


def _largest(difference):
    """Return the largest magnitude; `None`, which JSON knows, if it is not finite."""
    value = float(np.max(np.abs(difference)))
    return value if np.isfinite(value) else None


def _summary(milliseconds):
    median, p90 = np.quantile(milliseconds, (0.5, 0.9))
    return {"median": round(float(median), 2), "p90": round(float(p90), 2)}
