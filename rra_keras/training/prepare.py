"""Everything that can go wrong before a training starts."""

import contextlib
import dataclasses

import keras

from rra_keras import data
from rra_keras.data.sources import Source
from rra_keras.models import RRAClassifier
from rra_keras.training import processes, transfer
from rra_keras.training.clock import Clock
from rra_keras.training.devices import synchronize
from rra_keras.training.run import Run


@dataclasses.dataclass(frozen=True)
class Prepared:
    """What a training needs beside its `Config`.

    Example:
        config = training.configure("edge", {"looks": 0}, dataset=f"folder:{photos}")
        prepared = training.prepare(config, "runs/mine")
        print(prepared.source.summary())

    Attributes:
        run: the claimed run directory.
        source: the data.
        model: the model, not compiled.
        clock: the time that they took.
    """

    run: Run
    source: Source
    model: RRAClassifier
    clock: Clock


def prepare(config, run_dir, resume=False, overwrite=False, strategy=None, source=None):
    """Check everything that input can get wrong, before any work is lost to it.

    Example:
        config = training.configure("edge", {"looks": 0}, dataset=f"folder:{photos}")
        prepared = training.prepare(config, "runs/mine")

    Args:
        config: a `Config`.
        run_dir: where to write.
        resume: go on with the run that is there, if there is one.
        overwrite: replace the run that is there, if there is one.
        strategy: a `tf.distribute.Strategy` whose devices share each batch.
        source: a `Source`, such as some of the configuration's classes; the whole of its data set
            unless given.

    Returns:
        `Prepared`, ready to `train`.

    Raises:
        ValueError: if the data, the model or the run directory cannot be used.
        OSError: if files or weights cannot be read.
    """
    number, devices = processes.number_and_count()
    stored = dataclasses.asdict(config)
    clock, run = Clock(), Run(run_dir)
    if number == 0:
        run.check_available(stored, resume=resume, overwrite=overwrite)
    devices *= strategy.num_replicas_in_sync if strategy else 1
    if config.batch_size % devices:
        raise ValueError(
            f"Invalid value for `--batch_size`. Expected a multiple of the {devices} devices. "
            f"Received: {config.batch_size}"
        )
    clock.start("data")
    exclude = run.excluded(config.exclude, stored=resume)
    source = source or data.load(
        config.dataset,
        data_dir=config.data_dir,
        group_regex=config.group_regex,
        seed=config.seed,
        strict=config.strict,
        exclude=exclude,
    )
    clock.start("model")
    arguments = dict(config.model)
    if config.init_from:
        other, other_names = transfer.open_source(config.init_from)
        if arguments["patch_size"] == "auto":
            arguments["patch_size"] = other.patch_size
    keras.utils.set_random_seed(config.seed)
    with strategy.scope() if strategy else contextlib.nullcontext():
        model = RRAClassifier(
            num_classes=len(source.class_names),
            weights=config.weights,
            dtype=config.precision,
            **arguments,
        )
        if config.init_from:
            transfer.take_over(model, source.class_names, other, other_names)
        if strategy:
            synchronize(model)
    if number == 0:
        run = Run.create(run_dir, stored, resume=resume, overwrite=overwrite)
        if config.exclude:
            run.write_excluded(exclude)
        _note_small_photos(source.splits["train"], model)
    return Prepared(run, source, model, clock)


def _note_small_photos(train, model):
    """Say so where most photos are smaller than the images that crops are cut from."""
    if model.looks and (side := train.longer_side()) < model.image_size:
        print(
            f"The photos have about {side} pixels a side, fewer than --image_size="
            f"{model.image_size}: looking closer shows them larger, but no more of them.",
            flush=True,
        )
