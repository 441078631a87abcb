"""From a run to its report: look at a split, measure, draw, write."""

import dataclasses
import functools
import importlib.metadata
import io
import json
import math
import shlex
import sys

import numpy as np
from tqdm import tqdm

from rra_keras import answers
from rra_keras.data import pipeline
from rra_keras.explain import focus
from rra_keras.explain.explainer import Explainer, Explanation
from rra_keras.measures import calibration, confusion
from rra_keras.measures.doubts import doubt_rows, doubted_labels
from rra_keras.measures.labels import SEPARATOR
from rra_keras.models.presets import PRESETS
from rra_keras.reporting import page, sample, several, tables
from rra_keras.runs import files
from rra_keras.runs.collect import by_photo
from rra_keras.training.config import configure

_PACKAGES = ("rra-keras", "keras", "tensorflow", "tf-keras-vis", "scipy", "matplotlib")
_PAIRS = 5
_DOUBTED = 12  # that are shown
_THUMBNAIL = 224  # pixels


def training_command(config):
    """Return the command that gives a run's configuration: `rra train` and what is not usual."""
    chosen = PRESETS[config["preset"]].model
    own = {name: config["model"].get(name) for name in ("backbone", "localizer") if name in chosen}
    own = {name: value for name, value in own.items() if value != chosen[name]}
    usual = json.loads(json.dumps(dataclasses.asdict(configure(config["preset"], own))))
    sized = configure(config["preset"], own | {"image_size": config["model"]["image_size"]}).model
    usual |= usual.pop("model") | {"preset": "edge"} | dict.fromkeys(own, "")
    usual |= {name: sized[name] for name in ("glance_size",) if name in sized}
    given = config | config["model"]
    words = ["rra", "train"]
    for name in ("preset", *(name for name in given if name not in ("preset", "model"))):
        value = "x".join(map(str, given[name])) if isinstance(given[name], list) else given[name]
        if given[name] != usual.get(name):
            value = "none" if name == "localizer" and value is None else value
            words.append(f"--{name}" if value is True else f"--{name}={value}")
    return shlex.join(words)


def look(model, split, batch_size=16):
    """Look at every photo of a split, with a progress bar.

    Returns:
        The `Explanation` of all; the labels `(N,)`; of a model with fixations which of them are
        `distinct`, `(N, K)`, and what `Reader.each_refinement` returns, or else `None` twice.
    """
    explainer = Explainer(model)
    reader = tables.Reader(model) if model.attention else None
    distinct = model.view("distinct") if model.attention else None
    parts, labels, apart, read = [], [], [], []
    with tqdm(total=split.size, desc="Looking", unit="photo") as bar:
        batches = pipeline.evaluation_batches(split, model.image_size, batch_size)
        for images, batch_labels in batches.as_numpy_iterator():
            parts.append(explainer(images))
            labels.append(batch_labels)
            if reader:
                read.append(reader.each_refinement(images, parts[-1]))
                apart.append(by_photo(distinct.predict_on_batch(images), len(images))["distinct"])
            bar.update(len(images))
    apart = np.concatenate(apart) if apart else None
    read = [np.concatenate(each) for each in zip(*read, strict=True)] or None
    return Explanation.concatenate(parts), np.concatenate(labels), apart, read


def write(run, dataset, split, boxes, strips=6, faithfulness_images=32, batch_size=16):
    """Measure a run on a split; write `report.html`, `report.json` and `label_issues.csv` into it.

    The last only where a photo has one label.

    Args:
        run: a finished `Run`.
        dataset: name of the data set.
        split: a `Split` of it.
        boxes: `Boxes` of the same images, or `None`.
        strips: strips of images spread evenly, and of errors.
        faithfulness_images: images to measure faithfulness on; 0 for none.
        batch_size: images at a time.

    Returns:
        The paths of what was written.
    """
    model = run.load_model()
    names = run.class_names
    seen, labels, distinct, read = look(model, split, batch_size)
    layer, answer = model.calibration, answers.of(model.answer)
    temperature = layer.temperature
    probabilities = answer.probabilities(seen.logits, temperature)
    if model.answer == "one":
        matrix = confusion.confusion_matrix(labels, seen.logits.argmax(-1), len(names))
        errors = confusion.surest_errors(labels, probabilities, strips)
        pairs, together = _pairs(matrix, labels, probabilities, names), []
        classes, doubted = _classes(matrix, names), doubted_labels(labels, probabilities)
        reliable = _calibration(seen.logits, labels, temperature)
    else:
        about = (layer, seen.logits, labels)
        errors = several.surest_errors(*about, strips)
        pairs, together = [], several.together(*about, names)
        classes, doubted = several.classes(*about, names), np.zeros(0, int)
        reliable = several.reliability(*about)
    chosen = {"spread": sample.spread(split.size, strips).tolist(), "errors": errors}
    faithful = (
        sample.spread(split.size, faithfulness_images) if faithfulness_images else np.zeros(0, int)
    )
    wanted = {*chosen["spread"], *chosen["errors"], *faithful.tolist()}
    wanted |= {photo["index"] for pair in pairs for photo in pair["photos"]}
    wanted |= set(doubted[:_DOUBTED].tolist())
    images = sample.read(split, model.image_size, wanted)

    config, metrics = run.config, run.metrics or {}
    measured = answer.figures(layer, seen.logits, labels)
    known_boxes = None if boxes is None else boxes.objects
    figures = {
        "run": str(run),
        "dataset": dataset,
        "split": split.name,
        "images": split.size,
        "fixations": seen.objects.shape[1],
        "steps": getattr(model, "steps", 0),
        "command": metrics.get("command") or training_command(config),
        "report_command": shlex.join(["rra", "report", *sys.argv[1:]]),
        "versions": {name: importlib.metadata.version(name) for name in _PACKAGES},
        "answer": model.answer,
        "accuracy": {k: v for k, v in measured.items() if not k.startswith("calibration")},
        "tiles": answer.tiles(measured),
        "calibration": reliable,
        "unknown": _unknown(seen, answer.right(layer, seen.logits, labels) < 1),
        "classes": classes,
        "together": together,
        "confused_pairs": [{k: v for k, v in pair.items() if k != "photos"} for pair in pairs],
        "errors": [_answer(seen, split, i, labels, probabilities, names) for i in errors],
        "label_issues": {
            "count": len(doubted),
            "first": [
                _answer(seen, split, i, labels, probabilities, names)
                | {"label_probability": float(probabilities[i, labels[i]])}
                for i in doubted[:_DOUBTED]
            ],
        },
        "refinements": (
            tables.refinement_table(seen, labels, *read, known_boxes) if read else None
        ),
        "by_fixation": _by_fixation(model, seen, labels, distinct, known_boxes) if read else None,
        "by_step": tables.step_table(seen, labels) if hasattr(model, "steps") else None,
        "localization": None if boxes is None else _localization(seen, boxes),
        "faithfulness": None,
        "training": {"history": files.read_table(run.path("history.csv")), "metrics": metrics},
    }
    if len(faithful):
        bar = functools.partial(tqdm, total=len(faithful), desc="Deleting and inserting")
        rows = tables.faithfulness_table(
            seen[faithful],
            (images[i][0] for i in faithful),
            lambda batch: model.predict(batch, batch_size=batch_size, verbose=0) / temperature,
            progress=bar,
        )
        figures["faithfulness"] = {"images": len(faithful), "maps": rows}
    drawn = {
        kind: [
            _drawn(seen[[i]], model, *images[i], labels[[i]], names, _name(split, i))
            for i in tqdm(indices, desc=f"Drawing, {kind}")
        ]
        for kind, indices in chosen.items()
    }
    for photo in (photo for pair in pairs for photo in pair["photos"]):
        photo["image"] = page.webp(*images[photo.pop("index")], _THUMBNAIL)
    figures = _plain(figures)
    thumbnails = [page.webp(*images[i], _THUMBNAIL) for i in doubted[:_DOUBTED]]
    run.write_text("report.html", page.render(figures, drawn, pairs, thumbnails))
    run.write_json("report.json", figures)
    written = ["report.html", "report.json"]
    if model.answer == "one":
        rows = doubt_rows(doubted, labels, probabilities, names, split.names)
        run.write_text("label_issues.csv", files.table(*rows))
        written.append("label_issues.csv")
    return [run.path(name) for name in written]


def _by_fixation(model, seen, labels, distinct, boxes):
    if model.answer == "any":

        def found(count):
            places = np.where(distinct[:, :count, None] > 0, seen.objects[:, :count], 0.0)
            return tables.objects_found(places, boxes)

        return several.fixation_table(seen, distinct, labels, found)
    temperature = model.fixation_attention.temperature
    return tables.fixation_table(seen, labels, temperature, boxes) | {
        "curve": tables.cost_curve(seen.part_logits, distinct, labels, temperature),
        "sure_from": model.fixation_attention.sure_from,
    }


def _calibration(logits, labels, temperature):
    probabilities = calibration.probabilities(logits, temperature)
    confidence = probabilities.max(axis=-1)
    groups = calibration.reliability(confidence, probabilities.argmax(-1) == labels)
    return {
        **calibration.calibration_errors(logits, labels, temperature),
        "temperature": temperature,
        "mean_confidence": float(confidence.mean()),
        "mean_right": float((probabilities.argmax(-1) == labels).mean()),
        **{name: values.tolist() for name, values in groups.items()},
    }


def _answer(seen, split, i, labels, probabilities, names):
    there = [labels[i]] if seen.answer == "one" else np.flatnonzero(labels[i])
    return {
        "image": _name(split, i),
        "label": SEPARATOR.join(names[c] for c in there),
        "answer": SEPARATOR.join(names[c] for c in seen.said[i]),
        "probability": float(probabilities[i].max()),
        "score": float(seen.scores[i]),
        "known": bool(seen.known[i]),
    }


def _unknown(seen, wrong):
    """Return how many photos are none of the classes to the model, and of which it was wrong."""
    if seen.known_from is None:
        return None
    return {
        "known_from": seen.known_from,
        "known": float(seen.known.mean()),
        "images": int(np.sum(~seen.known)),
        "errors": int(np.sum(wrong & ~seen.known)),
    }


def _classes(matrix, names):
    return [
        {"name": name, **row} for name, row in zip(names, confusion.per_class(matrix), strict=True)
    ]


def _pairs(matrix, labels, probabilities, names):
    """Return the most confused pairs, with places of photos: mistaken ones, and typical ones."""
    answers, sure = probabilities.argmax(-1), probabilities.max(-1)
    pairs = []
    for a, b in confusion.confused_pairs(matrix, _PAIRS):
        photos = []
        for label, answer in ((a, a), (a, b), (b, a), (b, b)):
            found = np.flatnonzero((labels == label) & (answers == answer))
            if len(found):
                said = "named right" if label == answer else f"taken for {names[answer]}"
                photos.append(
                    {
                        "index": int(found[sure[found].argmax()]),
                        "caption": f"{names[label]}, {said}",
                        "wrong": label != answer,
                    }
                )
        counts = {"a_as_b": int(matrix[a, b]), "b_as_a": int(matrix[b, a])}
        pairs.append({"a": names[a], "b": names[b], **counts, "photos": photos})
    return pairs


def _localization(seen, boxes):
    known = int(boxes.known.sum())
    bar = functools.partial(tqdm, desc="Comparing with boxes", unit="photo")
    rows = tables.localization_table(seen, boxes, progress=bar)
    return {"images": known, "parts": boxes.parts is not None, "rows": rows}


def _drawn(seen, model, image, aspect, label, names, name):
    strip = {"name": name}
    for form, columns in (("wide", 6), ("narrow", 3)):
        file = io.BytesIO()
        about = (seen, model.crop_size, image[None], label, names, file, [aspect], columns)
        focus.draw_strips(*about, format="webp")
        strip[form] = file.getvalue()
    said = seen.said[0] if seen.known[0] else []
    answer = ", ".join(names[c] for c in said) or "none of these"
    there = [label[0]] if seen.answer == "one" else np.flatnonzero(label[0])
    right = set(said) == set(there)
    strip["alt"] = f"{answer}, {'right' if right else 'wrong'}"
    return strip


def _name(split, index):
    return split.names[index] if split.names else f"{split.name} image {index}"


def _plain(value):
    """Return `value` with only JSON's own types; a NaN is `None`."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
