"""Everything that can go wrong before a training starts, and the model once objects are known."""

import contextlib
import dataclasses
import os

import keras

from rra_keras import data, models
from rra_keras.backbones import build_encoder, build_trunk
from rra_keras.data import boxes
from rra_keras.data.sources import Source
from rra_keras.runs import Run
from rra_keras.training import final, processes, transfer
from rra_keras.training.clock import Clock
from rra_keras.training.config import model_class
from rra_keras.training.devices import synchronize


@dataclasses.dataclass(frozen=True)
class Prepared:
    """What a training needs beside its `Config`.

    Example:
        config = training.configure("edge", {"localizer": None}, dataset=f"folder:{photos}")
        prepared = training.prepare(config, "runs/mine")
        print(prepared.source.summary())

    Attributes:
        run: the claimed run directory.
        source: the data.
        clock: the time that it took.
        strategy: a `tf.distribute.Strategy`, or `None`.
    """

    run: Run
    source: Source
    clock: Clock
    strategy: object = None


def prepare(
    config,
    run_dir,
    resume=False,
    overwrite=False,
    strategy=None,
    source=None,
    new_photos=False,
):
    """Check everything that input can get wrong, before any work is lost to it.

    Example:
        config = training.configure("edge", {"localizer": None}, dataset=f"folder:{photos}")
        prepared = training.prepare(config, "runs/mine")

    Args:
        config: a `Config`.
        run_dir: where to write.
        resume: go on with the run that is there, if there is one.
        overwrite: replace the run that is there, if there is one.
        strategy: a `tf.distribute.Strategy` whose devices share each batch.
        source: a `Source`, such as some of the configuration's classes; the whole of its data set
            unless given.
        new_photos: go on with a run whose folder is not as it was when the run began.

    Returns:
        `Prepared`.

    Raises:
        ValueError: if the data or the run directory cannot be used.
        OSError: if files cannot be read.
    """
    number, devices = processes.number_and_count()
    stored = dataclasses.asdict(config)
    kind, _, path = config.dataset.partition(":")
    if kind == "folder":
        stored["dataset_path"] = os.path.abspath(os.path.expanduser(path))
    clock, run = Clock(), Run(run_dir)
    if number == 0:
        run.check_available(stored, resume=resume, overwrite=overwrite)
    devices *= strategy.num_replicas_in_sync if strategy else 1
    if config.batch_size % devices:
        raise ValueError(
            f"Invalid value for `--batch_size`. Expected a multiple of the {devices} devices. "
            f"Received: {config.batch_size}"
        )
    if config.init_from:
        transfer.open_source(config.init_from)
    if config.final:
        source = final.everything(config.final)
    known = _known(config, run, resume)
    clock.start("data")
    exclude = run.excluded(config.exclude, stored=resume)
    source = source or data.load(
        config.dataset,
        data_dir=config.data_dir,
        group_regex=config.group_regex,
        seed=config.seed,
        strict=config.strict,
        exclude=exclude,
        known=known,
        keep_together=config.keep_together,
    )
    if resume and source.changes and not new_photos:
        raise ValueError(
            f"Invalid value for `--resume`. Expected the photos that the run began with. Received: "
            f"{'; '.join(source.changes)}. --new_photos goes on with them, known ones staying in "
            "their splits"
        )
    if source.answer == "any" and model_class(config.preset) is not models.RRAClassifier:
        raise ValueError(
            "Invalid value for `--preset`. Expected edge for photos of several labels. "
            f"Received: {config.preset}"
        )
    if config.boxes and not config.final and not (resume and run.path("boxes.csv").is_file()):
        boxes.of_split(source, "train", config.boxes)
    _check_backbone(config)
    if number == 0:
        run = Run.create(run_dir, stored, resume=resume, overwrite=overwrite)
        if config.exclude:
            run.write_excluded(exclude)
        run.write_splits(source, known.rows if known else ())
        _note_small_photos(source.splits["train"], config.model)
    clock.stop()
    return Prepared(run, source, clock, strategy)


def _known(config, run, resume):
    """What this run, or the one that it goes on from, knows of the photos; `None` for neither."""
    if not config.dataset.startswith("folder:") or config.final:
        return None
    if resume and run.path("splits.csv").is_file():
        return run.known()
    if config.init_from:
        other = Run.open(config.init_from)
        if other.path("splits.csv").is_file():
            return other.known(by_name=other.config["dataset"] == config.dataset)
    return None


def _check_backbone(config):
    """Raise what building the backbone would raise, before objects are looked for in vain."""
    model, weights = config.model, config.weights
    with processes.alone():  # each process its own: nothing of it is kept
        encoder = build_encoder(
            model["backbone"],
            None if weights == "random" else weights,
            train_from=model.get("train_from"),
            fine_features=True,
        )
        if model.get("localizer") and model.get("train_from"):
            build_trunk(encoder, model["train_from"])


def build(config, prepared, objects=None):
    """Build the model that a run trains: once, from what was found in the photos.

    Args:
        config: a `Config`.
        prepared: what `prepare` returned for it.
        objects: what `objects_of` returned for it.

    Returns:
        The model, not compiled.

    Example:
        config = training.configure(
            "edge",
            {"backbone": "mobilenet", "localizer": None, "image_size": 32},
            weights="random",
            dataset=f"folder:{photos}",
        )
        model = training.build(config, training.prepare(config, "runs/build"))

    Raises:
        ValueError: if the arguments do not fit the objects, or the run that it goes on from.
        OSError: if weights cannot be read.
    """
    prepared.clock.start("model")
    given = dict(config.model)
    if config.final:
        keras.utils.set_random_seed(config.seed)
        with prepared.strategy.scope() if prepared.strategy else contextlib.nullcontext():
            model, _ = final.like(config.final, config.weights)
            if prepared.strategy:
                synchronize(model)
        prepared.clock.stop()
        return model
    if config.init_from:
        other, other_names = transfer.open_source(config.init_from)
        if given.get("localizer") == "box":
            given.setdefault("crop_size", other.crop_size)
    elif objects is not None:
        # What was given stands, but for a plain backbone in place of the model.
        given = {**objects.arguments(given), **given}
        if objects.whole:
            given |= {"localizer": None, "image_size": objects.plain_size}
    names = prepared.source.class_names
    strategy = prepared.strategy
    keras.utils.set_random_seed(config.seed)
    with strategy.scope() if strategy else contextlib.nullcontext():
        if prepared.source.answer == "any":
            given["answer"] = "any"
        model = model_class(config.preset)(
            num_classes=len(names), weights=config.weights, dtype=config.precision, **given
        )
        if objects is not None:
            objects.teach(model)
        if config.init_from:
            transfer.take_over(model, names, other, other_names)
        if strategy:
            synchronize(model)
    prepared.clock.stop()
    return model


def _note_small_photos(train, model):
    """Say so where most photos are smaller than the images that crops are cut from."""
    if model.get("localizer") and (side := train.longer_side()) < model["image_size"]:
        print(
            f"The photos have about {side} pixels a side, fewer than --image_size="
            f"{model['image_size']}: closer views show them larger, but no more of them.",
            flush=True,
        )
