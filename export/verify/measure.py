"""What is measured of each exported file: operators, accuracy, latency, GPU."""

import collections
import os
import pathlib
import time

import numpy as np
import tensorflow as tf

from rra_keras import answers
from rra_keras.measures.unknown import is_known

from ..classify import Classifier
from ..convert import costs, flatbuffer
from . import gpu
from .reference import concatenate


def saved_model_report(directory, reference):
    """Measure a SavedModel, loaded only with TensorFlow → a dict for `report.json`."""
    loaded = tf.saved_model.load(str(directory))
    serve = loaded.signatures["serving_default"]
    outputs = [serve(images=tf.constant(batch)) for batch in reference.batches()]
    nodes = [node for f in serve.graph.as_graph_def().library.function for node in f.node_def]
    return {
        "bytes": sum(file.stat().st_size for file in directory.rglob("*") if file.is_file()),
        "operators": dict(collections.Counter(node.op for node in nodes).most_common()),
        **compare(concatenate(outputs), reference),
    }


def tflite_report(path, reference, runs, gpu_images):
    """Measure a TFLite file on the runtime that devices run it on.

    Args:
        path: the file.
        reference: what Keras says of which images, a `Reference`.
        runs: of each latency.
        gpu_images: images to run on the GPU, 0 for none.

    Returns:
        A dict for `report.json`.
    """
    model = flatbuffer.read(path.read_bytes())
    operators = flatbuffer.histogram(model)
    custom = {name for counts in operators.values() for name in counts if name.startswith("custom")}
    multiply_adds = flatbuffer.multiply_adds(model)
    classifier = Classifier(path, threads=2)
    outputs = [classifier.run("full", images=each[None]) for b in reference.batches() for each in b]
    outputs = concatenate(outputs)
    first = np.concatenate([batch for batch, _ in zip(reference.batches(), range(4), strict=False)])
    report = {
        "bytes": path.stat().st_size,
        "operators": operators,
        "arithmetic": flatbuffer.arithmetic(model),
        "flex_operators": sorted(custom),
        "signatures": {name: list(shapes) for name, shapes in classifier.outputs.items()},
        "multiply_adds": multiply_adds,
        **compare(outputs, reference),
        "latency_ms": {f"{n}_threads": latency(path, first[:1], runs, n) for n in (1, 2)},
        "gpu": None,
    }
    if "glance" in multiply_adds:
        report["by_fixation"] = fixations_report(classifier, reference, multiply_adds)
    half = fixations_report(Classifier(path, threads=2, half=True), reference, multiply_adds)
    names = ("accuracy", "agreement", "known_agreement", "reads")
    report["half_floats"] = {name: half[name] for name in names if name in half}
    if gpu_images and (measured := gpu.measure(path, first[:gpu_images])):
        report["gpu"] = _gpu_report(measured, classifier, first[:gpu_images])
    return report


def _gpu_report(measured, classifier, images):
    """Compare the GPU's outputs for images with the CPU's."""
    on_gpu, seconds = measured.pop("outputs", {}), measured.pop("seconds", [])
    if not seconds:
        return measured
    on_cpu = gpu.outputs_of(classifier, images)
    milliseconds = 1e3 * np.array(seconds[1:] or seconds)  # the first one warms up
    return {
        **measured,
        "images": len(images),
        "max_difference": {name: _largest(on_gpu[name] - on_cpu[name]) for name in on_gpu},
        "latency_ms": _summary(milliseconds),
    }


def fixations_report(classifier, reference, multiply_adds):
    """Measure the signatures that devices call in turn, with crops cut outside of them.

    Args:
        classifier: a `Classifier`.
        reference: a `Reference`.
        multiply_adds: by signature.

    Returns:
        A dict of what `compare` returns; `reads` and `refinements` of a photo on average; and
        `multiply_adds` of a photo on `average` and at `most`.
    """
    seen = [classifier.see(image) for batch in reference.batches() for image in batch]
    reads = np.array([len(each["read_boxes"]) for each in seen])
    refinements = np.array([each["refinements"].sum() for each in seen])
    spent = np.full(len(seen), multiply_adds["full"])
    if "glance" in multiply_adds:
        spent = costs.of_photos(multiply_adds, refinements, reads)
    outputs = {
        name: np.stack([each[name] for each in seen])
        for name in ("logits", "score", "probabilities")
    }
    return compare(outputs, reference) | {
        "reads": float(reads.mean()),
        "refinements": float(refinements.mean()),
        "multiply_adds": {"average": float(spent.mean()), "most": float(spent.max())},
    }


def compare(outputs, reference):
    """Compare a file's outputs with Keras'.

    Where a photo may have several labels, accuracy and agreement are by label. `accuracy_error` is
    the standard error of the two accuracies' difference, paired by image. A box that moves by a
    pixel changes the class of images near a tie, as often for better as for worse.
    `known_agreement` is the share of images that are of any of the classes to both, or to neither.

    Args:
        outputs: a dict of `(N, …)` arrays.
        reference: a `Reference`.

    Returns:
        A dict for `report.json`.
    """
    expected, known = reference.expected, len(reference.labels)
    answer, layer = answers.of(reference.answer), reference.calibration
    logits, keras_logits = outputs["logits"], expected["logits"]
    right, keras_right = (
        answer.right(layer, each[:known], reference.labels) for each in (logits, keras_logits)
    )
    report = {
        "finite": all(bool(np.isfinite(values).all()) for values in outputs.values()),
        "accuracy": float(right.mean()),
        "accuracy_error": float(np.std(right - keras_right) / np.sqrt(known)),
        "agreement": float(np.mean(answer.same(layer, logits, keras_logits))),
        "logits_max_difference": _largest(logits - keras_logits),
    }
    if reference.known_from is not None:
        told = [
            is_known(np.reshape(each["score"], -1), reference.known_from)
            for each in (outputs, expected)
        ]
        report["known_agreement"] = float(np.mean(told[0] == told[1]))
    if "boxes" in expected and "boxes" in outputs:
        # Of what was read: the box of a place that does not count may be any.
        apart = np.abs(outputs["boxes"] - expected["boxes"]).max(axis=-1)  # (N, K)
        moved = np.where(expected["weights"] > 0, apart, 0.0).max(axis=1)  # (N,)
        report["boxes_max_difference"] = _largest(moved)
        report["boxes_p99_difference"] = _largest(np.quantile(moved, 0.99))
    return report


def latency(path, image, runs, threads):
    """Time single images on the CPU (XNNPACK) → `median` and `p90` in milliseconds."""
    classifier = Classifier(path, threads)
    seconds = []
    for _ in range(3 + runs):  # the first ones warm up
        start = time.perf_counter()
        classifier.run("full", images=image)
        seconds.append(time.perf_counter() - start)
    return _summary(1e3 * np.array(seconds[3:]))


def machine():
    """Describe what the latencies were measured on."""
    model = pathlib.Path("/proc/cpuinfo")
    names = model.read_text().splitlines() if model.exists() else []
    return {
        "cpu": next((n.partition(":")[2].strip() for n in names if n.startswith("model name")), ""),
        "cores": os.cpu_count(),
        "load_average": round(os.getloadavg()[0], 2),
    }


def _largest(difference):
    """Return the largest magnitude; `None`, which JSON knows, if it is not finite."""
    value = float(np.max(np.abs(difference)))
    return value if np.isfinite(value) else None


def _summary(milliseconds):
    median, p90 = np.quantile(milliseconds, (0.5, 0.9))
    return {"median": round(float(median), 2), "p90": round(float(p90), 2)}
