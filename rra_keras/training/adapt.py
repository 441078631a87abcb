"""Learning where to look from the training photos alone, before the classes are learned."""

import contextlib
import csv
import dataclasses
import io
import json
import math
import tempfile

import keras
import numpy as np

from rra_keras.data import pipeline, splits
from rra_keras.discovery import FRAME, patch_size_for
from rra_keras.models import RRAClassifier, costs
from rra_keras.training import processes
from rra_keras.training.devices import synchronize

PHOTOS = 1000  # that are looked at: enough to fit a localizer
BYTES = 4 * 2**30  # of disk for them, decoded: 790 photos of 1344 pixels
LOCALIZER = "checkpoints/localizer.npz"
_COLUMNS = ("file", "y0", "x0", "y1", "x1", "confidence")


def adapt(config, prepared):
    """Let a model that learns where to look learn it, once a run.

    1. At most `PHOTOS` training photos, of every class in turn; fewer where they are so large that
       they would take more than `BYTES`. They are kept in a file of the run's folder, for a while.
    2. `RRAClassifier.adapt` discovers their objects and fits the localizer.
    3. `objects.csv`, a box and a confidence for each photo, and `objects.json`, what each
       hypothesis is worth, are written to the run.
    4. Where the photos hold no one object, the model is replaced by the plain backbone at about
       the same cost. Otherwise, or where `config.one_object` says that they do, the objects' shape
       becomes that of `patch_size="auto"`.

    A run that did this before goes on with what was found then. A model that does not learn where
    to look is left as it is, and so is one that goes on from another run, which knows. Of several
    processes, number 0 finds the objects while the others wait.

    Example:
        config = training.configure("edge", {"looks": 0}, dataset=f"folder:{photos}")
        prepared = training.adapt(config, training.prepare(config, "runs/mine"))

    Args:
        config: a `Config`.
        prepared: what `prepare` returned for it.

    Returns:
        `Prepared`, with the model to train.

    Raises:
        OSError: if a file cannot be written.
        LostProcessError: if another process of the training has ended.
    """
    run, model = prepared.run, prepared.model
    if not model.learns_where or config.init_from:
        return prepared
    prepared.clock.start("objects")
    number, count = processes.number_and_count()
    with processes.raise_lost_process():
        processes.barrier("objects")  # from here on, those of a run that is replaced are gone
    if number > 0:
        processes.wait_for(run.path("objects.json"))
    elif not run.path("objects.json").is_file():
        train = prepared.source.splits["train"]
        if count > 1:
            weights = model.get_weights()
            with processes.alone():
                own = model.from_config(model.get_config())
                own.set_weights(weights)
                _find_objects(config, run, train, own)
        else:
            _find_objects(config, run, train, model)
    found = json.loads(run.path("objects.json").read_text("utf-8"))
    if found["hypothesis"] == FRAME:
        model = _plain(config, model)
        print(f"The photos hold no one object: looking once, at {model.image_size} pixels.")
    else:
        if config.model["patch_size"] == "auto":
            model = _build(config, model, patch_size=tuple(found["patch_size"]))
        with np.load(run.path(LOCALIZER), allow_pickle=False) as arrays:
            model.localizer.set_weights([arrays[f"arr_{i}"] for i in range(len(arrays.files))])
        area, size = found["area"][found["hypothesis"]], "×".join(map(str, model.patch_size))
        print(
            f"The photos hold one object each, in {area:.0%} of the frame: read at {size} pixels."
        )
    prepared.clock.stop()
    return dataclasses.replace(prepared, model=model)


def _find_objects(config, run, train, model):
    side = model.image_size
    count = min(PHOTOS, BYTES // (3 * side**2))
    chosen = splits.by_turns(train.labels, count, config.seed)
    subset = train.subset(chosen)
    batches = pipeline.evaluation_batches(subset, side, 1, model.num_classes)
    with tempfile.TemporaryFile(dir=run.directory) as file:
        photos = np.memmap(file, "uint8", "w+", shape=(subset.size, side, side, 3))
        for i, (images, _) in enumerate(batches.as_numpy_iterator()):
            photos[i] = images[0].round().clip(0, 255)
        print(f"Looking for the objects in {subset.size} training photos.", flush=True)
        labels = None if config.one_object else subset.labels
        objects = model.adapt(photos, labels, config.seed)
    with run.replacing(LOCALIZER) as path, path.open("wb") as file:
        np.savez(file, *model.localizer.get_weights())
    run.write_text("objects.csv", _table(subset.names or chosen, objects))
    tried = objects.choice
    run.write_json(
        "objects.json",  # last: what the others are complete by
        {
            "hypothesis": objects.name,
            "accuracy": tried.accuracy if tried else {},
            "area": tried.area if tried else {objects.name: objects.area},
            "patch_size": patch_size_for(objects.boxes),
        },
    )


def _table(names, objects):
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(_COLUMNS)
    for name, box, confidence in zip(names, objects.boxes, objects.confidence, strict=True):
        table.writerow([name, *(f"{edge:.4f}" for edge in box), f"{confidence:.3f}"])
    return text.getvalue()


def read_objects(run, train):
    """Read a run's `objects.csv`.

    Args:
        run: a `Run` that `adapt` was called for.
        train: the training split.

    Returns:
        Places in the split `(N,)`, boxes `(N, 4)` and their confidence `(N,)`.
    """
    rows = list(csv.DictReader(run.path("objects.csv").read_text("utf-8").splitlines()))
    index = {str(name): i for i, name in enumerate(train.names or range(train.size))}
    places = np.array([index[row["file"]] for row in rows])
    values = np.array([[float(row[name]) for name in _COLUMNS[1:]] for row in rows])
    return places, values[:, :4], values[:, 4]


def _plain(config, model):
    """Return the plain backbone that costs about as much as `model`."""
    plain = _build(config, model, looks=0, image_size=224)
    ratio = costs.multiply_adds(model) / costs.multiply_adds(plain)
    side = 32 * math.ceil(7 * math.sqrt(ratio) - 0.1)  # a hair beyond a multiple does not count
    return _build(config, model, looks=0, image_size=side)


def _build(config, model, **others):
    """Return the model of a `Config` with other arguments, on the same devices as `model`."""
    arguments = RRAClassifier.preset_arguments(config.preset, **config.model | others)
    strategy = getattr(model, "distribute_strategy", None)
    keras.utils.set_random_seed(config.seed)
    with strategy.scope() if strategy else contextlib.nullcontext():
        built = RRAClassifier(
            num_classes=model.num_classes,
            weights=config.weights,
            dtype=config.precision,
            **arguments,
        )
    if strategy:
        synchronize(built)
    return built
