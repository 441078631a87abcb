"""Everything that can go wrong before a training starts."""

import contextlib
import dataclasses

import keras

from rra_keras import data
from rra_keras.backbones import minimum_size
from rra_keras.layers.zoom_crop import as_pair
from rra_keras.models.classifier import RRAClassifier
from rra_keras.training import processes
from rra_keras.training.clock import Clock
from rra_keras.training.devices import synchronize
from rra_keras.training.run import Run


@dataclasses.dataclass(frozen=True)
class Prepared:
    """What a training starts from.

    Attributes:
        run: the `Run` to write to, its directory claimed.
        source: the `Source`.
        model: the `RRAClassifier`, not compiled.
        clock: the `Clock`, with the seconds that data and model took.
    """

    run: Run
    source: data.Source
    model: RRAClassifier
    clock: Clock


def prepare(config, run_dir, resume=False, overwrite=False, strategy=None):
    """Check everything that input can get wrong, before any work is lost to it.

    Args:
        config: a `Config`.
        run_dir: where to write.
        resume: go on with the run that is there, if there is one.
        overwrite: replace the run that is there, if there is one.
        strategy: a `tf.distribute.Strategy` whose devices share each batch.

    Returns:
        A `Prepared`, ready to `train`.

    Raises:
        ValueError: if the data, the model or the run directory cannot be used.
        OSError: if files or weights cannot be read.
    """
    number, devices = processes.number_and_count()
    stored = dataclasses.asdict(config)
    if number == 0:
        Run(run_dir).check_available(stored, resume=resume, overwrite=overwrite)
    _check_sizes(config.model)
    devices *= strategy.num_replicas_in_sync if strategy else 1
    if config.batch_size % devices:
        raise ValueError(
            f"Invalid value for `--batch_size`. Expected a multiple of the {devices} devices. "
            f"Received: {config.batch_size}"
        )
    clock = Clock()
    clock.start("data")
    source = data.load(
        config.dataset,
        data_dir=config.data_dir,
        group_regex=config.group_regex,
        seed=config.seed,
        strict=config.strict,
    )
    clock.start("model")
    keras.utils.set_random_seed(config.seed)
    with (
        _dtype_policy(config.precision),
        strategy.scope() if strategy else contextlib.nullcontext(),
    ):
        model = RRAClassifier(
            num_classes=len(source.class_names),
            weights=None if config.weights == "none" else config.weights,
            **config.model,
        )
        if strategy:
            synchronize(model)
    if number == 0:
        run = Run.create(run_dir, stored, resume=resume, overwrite=overwrite)
    else:
        run = Run(run_dir)
    return Prepared(run, source, model, clock)


def _check_sizes(model):
    sizes = {"image_size": model["image_size"]}
    if model["looks"]:
        sizes |= {
            "glance_size": model.get("glance_size"),
            "patch_size": min(as_pair(model["patch_size"])),
        }
    least = minimum_size(model["backbone"])
    for name, size in sizes.items():
        if size is not None and size < least:
            raise ValueError(
                f"Invalid value for `--{name}`. Expected at least {least} pixels, the minimum of "
                f"{model['backbone']}. Received: {size}"
            )


@contextlib.contextmanager
def _dtype_policy(name):
    """Let the layers made meanwhile compute by a policy."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
