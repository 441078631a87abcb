"""Fitting, and what keeps a long training safe."""

import contextlib
import dataclasses

import keras
import numpy as np

from rra_keras.data import pipeline
from rra_keras.data.augment import SMALLEST_CROP
from rra_keras.models.base import BinaryCrossEntropy, CrossEntropy
from rra_keras.runs.collect import progress_style
from rra_keras.training import processes
from rra_keras.training.checkpoint import Checkpoint
from rra_keras.training.devices import scope
from rra_keras.training.finish import finish
from rra_keras.training.objects import mirrors
from rra_keras.training.optimizer import make_optimizer
from rra_keras.training.read_boxes import labeled_boxes, teach_reader
from rra_keras.training.stop import StopRequest


def train(config, prepared, model):
    """Train a model, test it once with its best weights, and write the run's files.

    1. Go on from the run's state on disk, if there is one. A new training of photos with several
       labels, and with boxes that say theirs, begins with reading these: see `read_boxes`.
    2. Fit; after each epoch, validate, and keep the weights, unless earlier ones are better by more
       than one standard error.
    3. Test what was kept, once, and write what is left of them: see `finish`.

    Example:
        config = training.configure(
            "edge",
            {"backbone": "mobilenet", "localizer": None, "image_size": 32},
            dataset=f"folder:{photos}",
            weights="random",
            epochs=1,
        )
        prepared = training.prepare(config, "runs/mine")
        metrics = training.train(config, prepared, training.build(config, prepared))

    Args:
        config: a `Config`.
        prepared: what `prepare` returned for it.
        model: what `build` returned for both.

    Returns:
        The content of `metrics.json`, that of before for a finished run; `None` in a process that
        shared the training but does not write the run.

    Raises:
        FloatingPointError: if the loss is no longer finite.
        StoppedError: after a SIGINT or SIGTERM, when the step is finished and the state written.
        OSError: if a file cannot be written; the state that was written last stays.
        StateError: if the state on disk cannot be used.
        LostProcessError: if another process of the training has ended.
    """
    run, source, clock = prepared.run, prepared.source, prepared.clock
    number, count = processes.number_and_count()
    with processes.raise_lost_process():
        processes.barrier("prepared")
    if (metrics := run.metrics) is not None:
        return metrics
    epochs = config.epochs_for(source.splits["train"].size)
    config = dataclasses.replace(config, epochs=epochs)
    if number == 0:
        print(source.summary(), flush=True)
        run.write_text("labels.txt", "\n".join(source.class_names) + "\n")

    steps = pipeline.steps_per_epoch(source.splits["train"], config.batch_size)
    _compile(config, model, steps, source.splits["train"])
    monitor = None if config.final else f"val_{model.accuracy_name}"
    stop = StopRequest()
    photos = 1 if config.final else source.splits["validation"].size
    checkpoint = Checkpoint(run, monitor, steps, config.checkpoint_every, stop, number == 0, photos)
    checkpoint.restore(model)
    labeled = model.answer == "any" and run.path("boxes.csv").is_file()
    if labeled and checkpoint.epoch == checkpoint.step == 0:
        rows, boxes, labels = labeled_boxes(source, run.path("boxes.csv"))
        if len(rows):
            print(f"Reading the labeled boxes of {len(rows)} photos.", flush=True)
            some = source.splits["train"].subset(rows)
            teach_reader(config, some, model, boxes, labels, mirrors(config, run))
            print("Reading whole photos.", flush=True)
    with _advice(config, checkpoint):
        if checkpoint.epoch < config.epochs:
            with stop:
                _fit(config, prepared, model, checkpoint)
        processes.leave_group()
        if number:
            return None
        clock.start("checkpoints")
        if config.precision != "float32" or count > 1 or _replicas(model) > 1:
            # What is tested and kept computes as a device will: alone, and in float32.
            model = model.from_config({**model.get_config(), "dtype": "float32"})
            _compile(config, model, steps, source.splits["train"])
        checkpoint.restore_best(model)
        metrics = finish(config, run, source, model, clock, checkpoint.kept)
    checkpoint.discard()
    return metrics


def _compile(config, model, steps, training):
    loss = CrossEntropy(config.label_smoothing)
    if model.answer == "any":
        weights = positive_weights(training) if config.class_weight else None
        loss = BinaryCrossEntropy(config.label_smoothing, weights)
    with scope(model):
        model.compile(make_optimizer(config, model, steps), loss)
        model.optimizer.build(model.trainable_variables)


def _replicas(model):
    strategy = getattr(model, "distribute_strategy", None)
    return strategy.num_replicas_in_sync if strategy else 1


def _fit(config, prepared, model, checkpoint):
    run, splits = prepared.run, prepared.source.splits
    training, validation = splits["train"], splits.get("validation")
    # Keras adds up what replicas say of a batch, which fails where one of them has fewer images.
    # What is left over counts in the end, when the model is calibrated.
    if validation and (left_over := validation.size % _replicas(model)):
        validation = validation.subset(range(validation.size - left_over or validation.size))
    callbacks = [prepared.clock]
    if config.ema is not None:
        callbacks.append(keras.callbacks.SwapEMAWeights(swap_on_epoch=True))
    if checkpoint.writes:
        callbacks.append(
            keras.callbacks.TensorBoard(checkpoint.run.path("tensorboard"), write_graph=False)
        )
    callbacks.append(checkpoint)  # last: a state finds all that came before it done
    model.fit(
        pipeline.training_batches(
            training,
            model.image_size,
            config.batch_size,
            augment=config.augment,
            mirror=mirrors(config, run),
            num_classes=model.num_classes,
            # Where the object is framed, what moves at random in training is its box.
            smallest_crop=1.0 if model.attention else SMALLEST_CROP,
            seed=config.seed,
            epochs=config.epochs,
            start_epoch=checkpoint.epoch,
            start_step=checkpoint.step,
            shard=processes.number_and_count(),
        ),
        initial_epoch=checkpoint.epoch,
        epochs=config.epochs,
        steps_per_epoch=checkpoint.steps_per_epoch,
        shuffle=False,
        class_weight=(
            balanced(training, model.num_classes)
            if config.class_weight and model.answer == "one"
            else None
        ),
        validation_data=validation
        and pipeline.evaluation_batches(validation, model.image_size, config.batch_size),
        callbacks=callbacks,
        verbose=progress_style() if checkpoint.writes else 0,
    )


def balanced(split, num_classes):
    """Return class weights that let each class count alike: N / (C · the class's images).

    Args:
        split: a `Split` of N images.
        num_classes: C.

    Returns:
        A dict from class to weight.
    """
    counts = np.bincount(split.labels, minlength=num_classes)
    return {i: split.size / (num_classes * max(count, 1)) for i, count in enumerate(counts)}


def positive_weights(split, most=10.0):
    """Return how much more a photo of each class counts than one of others, where that is rare.

    Args:
        split: a `Split` of several labels a photo.
        most: the greatest weight.

    Returns:
        C floats: photos without the class by those with it, from 1 to `most`.
    """
    share = split.labels.mean(axis=0)
    return np.clip((1 - share) / np.maximum(share, 1e-9), 1.0, most).tolist()


@contextlib.contextmanager
def _advice(config, checkpoint):
    """Add to an error in training what is lost and how to go on."""
    try:
        with processes.raise_lost_process():
            yield
    except processes.LostProcessError as error:
        raise processes.LostProcessError(
            f"Another process of the training in {checkpoint.run} was lost ({error}). The state "
            f"{checkpoint.saved_at()} is intact; start all processes again with --resume"
        ) from error
    except FloatingPointError as error:
        raise FloatingPointError(
            f"Training in {checkpoint.run} stopped: {error}. Try a lower `learning_rate` than "
            f"{config.learning_rate:g}, with --overwrite"
        ) from error
    except OSError as error:
        raise OSError(
            f"Training in {checkpoint.run} stopped: {error}. The state {checkpoint.saved_at()} is "
            "intact; --resume goes on from there"
        ) from error
