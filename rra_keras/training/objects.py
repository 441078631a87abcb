"""The objects of the training photos: looked for once a run, before the model is built."""

import dataclasses
import json
import os
import shutil
import types

import keras
import numpy as np

from rra_keras.data import boxes as box_data
from rra_keras.data import pipeline, splits
from rra_keras.discovery import Objects, find_objects
from rra_keras.discovery.probe import FRAME, Choice
from rra_keras.discovery.rounds import Round
from rra_keras.runs import Run, files
from rra_keras.training import processes

PHOTOS = 1000  # that are looked at: enough to fit a localizer
BYTES = 4 * 2**30  # of disk for them, decoded: 790 photos of 1344 pixels
SURE = 0.75  # least consistency of objects that nothing is said about
LOCALIZER = "checkpoints/localizer.npz"
_MEMORY = "checkpoints/objects"
_COLUMNS = ("file", "y0", "x0", "y1", "x1", "confidence")
_BY_ROUND = ("file", "round", *_COLUMNS[1:5])


def objects_of(config, prepared):
    """Return the objects of a run's training photos, looking for them where that was not done.

    1. At most `PHOTOS` training photos, of every class in turn; fewer where they are so large that
       they would take more than `BYTES`. They are kept in a file of the run's folder, for a while.
    2. `find_objects` finds their objects and teaches a localizer.
    3. `objects.csv`, a box and a confidence for each photo, and `objects.json`, what each
       hypothesis is worth, are written to the run; where rounds moved boxes, also
       `objects_by_round.csv`, where they were before each.

    A run that did this before goes on with what was found then; one that was stopped meanwhile,
    with the photos that were decoded and the steps that were made. Of several processes, number 0
    finds the objects while the others wait.

    Args:
        config: a `Config`.
        prepared: what `prepare` returned for it.

    Returns:
        `Objects`; `None` for a model that does not look for them, or that goes on from another run.

    Example:
        config = training.configure(
            "edge",
            {"backbone": "mobilenet", "localizer": None, "image_size": 32},
            weights="random",
            dataset=f"folder:{photos}",
        )
        prepared = training.prepare(config, "runs/objects")
        assert training.objects_of(config, prepared) is None

    Raises:
        OSError: if a file cannot be written.
        LostProcessError: if another process of the training has ended.
    """
    if config.model.get("localizer") != "box" or config.init_from or config.final:
        return None
    run, number = prepared.run, processes.number_and_count()[0]
    prepared.clock.start("objects")
    with processes.raise_lost_process():
        processes.barrier("objects")  # from here on, those of a run that is replaced are gone
    if number > 0:
        processes.wait_for(run.path("objects.json"))
    elif not run.path("objects.json").is_file():
        with processes.alone():
            _find(config, run, prepared.source)
    objects = _read(run, config)
    prepared.clock.stop()
    return objects


def mirrors(config, run):
    """Tell whether a run's training mirrors photos: as told, or as the search for objects found.

    A run that goes on from another, or trains on all of its photos, goes by that one.

    Args:
        config: a `Config`, or what has its `mirror`, `final` and `init_from`.
        run: its `Run`.
    """
    if config.mirror is not None:
        return config.mirror
    if other := config.final or config.init_from:
        other = Run.at(other)
        return mirrors(types.SimpleNamespace(**other.config), other)
    table = run.path("objects.json")
    return not table.is_file() or json.loads(table.read_text("utf-8"))["mirror"]


def describe(objects, model, run):
    """Say in a few lines what was found, how sure it is, and what `model` makes of it."""
    said = _found(objects, model, run)
    if not objects.mirror and run.config["mirror"] is None:
        said += (
            "\nMirrored, photos look like other classes, as left and right ones do: training does "
            "not mirror them. --mirror has it do so."
        )
    return said


def _found(objects, model, run):
    if objects.whole:
        size, accuracy = model.image_size, objects.choice.accuracy
        if "given" in accuracy:
            return (
                f"Read in the given boxes, {accuracy['given']:.0%} of held-out photos are named "
                f"rightly, as a whole {accuracy[FRAME]:.0%}: training the plain backbone at {size} "
                "pixels. --one_object has it use the boxes all the same."
            )
        return f"No single main object found: training the plain backbone at {size} pixels."
    size = "×".join(map(str, model.crop_size))
    rounds = "".join(f"Round {n}: {each}.\n" for n, each in enumerate(objects.rounds, start=1))
    area = f"{objects.area:.0%}"
    said = f"{rounds}The objects cover {area} of the photos on average: read at {size} pixels."
    if objects.consistency < SURE:
        said += (
            f"\nThe objects are uncertain: in {1 - objects.consistency:.0%} of the photos another "
            f"place is found once they are mirrored or moved. Look at {run.path('objects.jpg')}. "
            "Boxes in two dozen photos help, drawn in two minutes: "
            f"rra boxes {run}"
        )
    return said


def _given(config, run, source):
    """The given boxes of the training photos, or `None`; says which could not be used."""
    if not config.boxes:
        return None
    boxes = box_data.of_split(source, "train", config.boxes)
    for note in boxes.notes:
        print(f"{note[0].upper()}{note[1:]}.", flush=True)
    train, known = source.splits["train"], int(boxes.known.sum())
    print(f"Boxes of {known} of {train.size} training photos are given.", flush=True)
    names = train.names or range(train.size)
    said = np.full(boxes.objects.shape[:2], None) if boxes.labels is None else boxes.labels
    rows = [
        [name, *(f"{edge:.6f}" for edge in box), label or ""]
        for name, some, labels in zip(names, boxes.objects, said, strict=True)
        for box, label in zip(some, labels, strict=True)
        if not np.isnan(box[0])
    ]
    run.write_text("boxes.csv", files.table(rows, [*_COLUMNS[:-1], "label"]))
    return boxes


def _find(config, run, source):
    train = source.splits["train"]
    side = config.model["image_size"]
    count = min(PHOTOS, BYTES // (3 * side**2))
    boxes = _given(config, run, source)
    chosen = splits.by_turns(train.labels, count, config.seed)
    if boxes is not None:
        # All photos that have a box, and others as far as there is room.
        first = np.flatnonzero(boxes.known)[:count]
        rest = np.setdiff1d(chosen, first)[: max(count - len(first), 0)]
        chosen = np.sort(np.concatenate([first, rest]))
    subset = train.subset(chosen)
    memory = run.path(_MEMORY)  # for a run that is stopped meanwhile
    memory.mkdir(parents=True, exist_ok=True)
    photos = _decoded(subset, side, memory / "photos")
    print(f"Looking for the objects in {subset.size} training photos.", flush=True)
    keras.utils.set_random_seed(config.seed)  # of the localizer's first weights
    objects = find_objects(
        photos,
        subset.labels,
        config.model["backbone"],
        weights=config.weights,
        train_from=config.model.get("train_from"),
        glance_size=config.model["glance_size"],
        max_refinements=config.model.get("max_refinements"),
        one_object=config.one_object,
        rounds=config.rounds,
        seed=config.seed,
        boxes=None if boxes is None else boxes.objects[chosen],
        memory=memory,
    )
    del photos
    with run.replacing(LOCALIZER) as path, path.open("wb") as file:
        np.savez(file, *(objects.localizer or ()))
    rows = [
        [name, *(f"{edge:.4f}" for edge in box), f"{confidence:.3f}"]
        for name, box, confidence in zip(
            subset.names or chosen, objects.boxes, objects.confidence, strict=True
        )
    ]
    run.write_text("objects.csv", files.table(rows, _COLUMNS))
    if objects.earlier:
        rows = [
            [name, number, *(f"{edge:.4f}" for edge in box)]
            for number, boxes in enumerate(objects.earlier, start=1)
            for name, box in zip(subset.names or chosen, boxes, strict=True)
        ]
        run.write_text("objects_by_round.csv", files.table(rows, _BY_ROUND))
    tried = objects.choice
    run.write_json(
        "objects.json",  # last: what the others are complete by
        {
            "hypothesis": objects.name,
            "accuracy": tried.accuracy if tried else {},
            "area": tried.area if tried else {objects.name: objects.area},
            "crop_size": objects.crop_size,
            "plain_size": objects.plain_size,
            "max_refinements": objects.arguments_used["max_refinements"],
            "consistency": objects.consistency,
            "mirror": objects.mirror,
            "rounds": [dataclasses.asdict(each) | {"kept": each.kept} for each in objects.rounds],
        },
    )

    shutil.rmtree(memory, ignore_errors=True)  # Windows keeps a file that is still mapped


def _decoded(split, side, path):
    """Return a split's photos `(N, S, S, 3)`, uint8, in a file that is there once it is whole."""
    shape = (split.size, side, side, 3)
    if not path.is_file():
        partial = path.with_suffix(".partial")
        photos = np.memmap(partial, "uint8", "w+", shape=shape)
        batches = pipeline.evaluation_batches(split, side, 1)
        for i, (images, _) in enumerate(batches.as_numpy_iterator()):
            photos[i] = images[0].round().clip(0, 255)
        photos.flush()
        del photos
        os.replace(partial, path)
    return np.memmap(path, "uint8", "r", shape=shape)


def _read(run, config):
    found = json.loads(run.path("objects.json").read_text("utf-8"))
    boxes, confidence = _boxes(run)
    with np.load(run.path(LOCALIZER), allow_pickle=False) as arrays:
        localizer = tuple(arrays[f"arr_{i}"] for i in range(len(arrays.files)))
    used = ("backbone", "image_size", "glance_size", "train_from")
    return Objects(
        boxes=boxes,
        confidence=confidence,
        name=found["hypothesis"],
        choice=Choice(found["hypothesis"], found["accuracy"], found["area"]),
        crop_size=tuple(found["crop_size"]),
        plain_size=found["plain_size"],
        localizer=localizer or None,
        arguments_used={name: config.model.get(name) for name in used}
        | {"max_refinements": found["max_refinements"]},
        rounds=tuple(_round(each) for each in found["rounds"]),
        consistency=found["consistency"],
        mirror=found["mirror"],
    )


def _round(stored):
    return Round(**{field.name: stored[field.name] for field in dataclasses.fields(Round)})


def _boxes(run):
    rows = files.read_table(run.path("objects.csv"))
    values = np.array([[float(row[name]) for name in _COLUMNS[1:]] for row in rows], "float32")
    return values[:, :4], values[:, 4]


def read_objects(run, train):
    """Read a run's `objects.csv`.

    Args:
        run: a `Run` whose objects were looked for.
        train: the training split.

    Returns:
        Places in the split `(N,)`, boxes `(N, 4)`, their confidence `(N,)`, and the boxes before
        each round that moved them, a list of `(N, 4)`.
    """
    index = {str(name): i for i, name in enumerate(train.names or range(train.size))}
    rows = files.read_table(run.path("objects.csv"))
    there = [i for i, row in enumerate(rows) if row["file"] in index]  # others were deleted since
    places = np.array([index[rows[i]["file"]] for i in there])
    boxes, confidence = (values[there] for values in _boxes(run))
    return places, boxes, confidence, [before[there] for before in _earlier(run, len(rows))]


def _earlier(run, count):
    """Return the boxes of all `count` photos before each round that moved them."""
    if not run.path("objects_by_round.csv").is_file():
        return []
    rows = files.read_table(run.path("objects_by_round.csv"))
    boxes = np.array([[float(row[name]) for name in _BY_ROUND[2:]] for row in rows], "float32")
    return list(boxes.reshape(-1, count, 4))
