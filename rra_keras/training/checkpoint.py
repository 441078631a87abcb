"""The state of a training on disk, so that it goes on where it was stopped."""

import contextlib
import json
import math
import zipfile

import keras
import numpy as np
from keras import ops

from rra_keras.runs import files
from rra_keras.training.stop import StoppedError

STATE = "checkpoints/state.npz"
BEST = "checkpoints/best.npz"


class StateError(ValueError):
    """The state on disk is damaged, or of another training."""


class Checkpoint(keras.callbacks.Callback):
    """Keeps the whole state of a training on disk, each file replaced whole.

    1. At the start of each epoch, every `every` steps and when a stop is asked for, `STATE`: the
       variables of the model (those of its random generators, too), of the optimizer and of the
       metrics; the place in the data; the epochs' figures and the best so far.
    2. At the end of each epoch, `history.csv`, and `BEST`, unless the epoch's figure is below the
       best by more than one standard error. Among epochs that cannot be told apart the last is
       trained most, and the best one is so by chance: of 59 validation photos, two are 3 %.

    A training that is restored and fed the batches from `epoch` and `step` on makes the same steps
    as one that was never stopped. Place it after callbacks that change the weights at an epoch's
    ends, such as `keras.callbacks.SwapEMAWeights`.

    Args:
        run: the `Run` to write to.
        monitor: the figure that is best when it is greatest, a share of `photos`; `None`: the last
            epoch is best.
        steps_per_epoch: steps of a whole epoch.
        every: steps between two states; `None` for one each epoch.
        stop: a `StopRequest`.
        writes: whether to write; of several processes one does.
        photos: how many photos `monitor` is measured on.

    Attributes:
        epoch: epochs done.
        step: steps done of the next one.
        best: the greatest value of `monitor` so far, or `None`.

    Raises:
        FloatingPointError: in training, if the loss or a variable is no longer finite.
        StoppedError: in training, once the state is written after a stop was asked for.
        OSError: in training, if a file cannot be written.
    """

    def __init__(self, run, monitor, steps_per_epoch, every, stop, writes, photos=1):
        super().__init__()
        self.run = run
        self.monitor = monitor
        self.steps_per_epoch = steps_per_epoch
        self.every = every
        self.stop = stop
        self.writes = writes
        self.photos = photos
        self.epoch = self.step = 0
        self.best = None
        self._history = []
        self._sums = None

    def restore(self, model):
        """Put a compiled model, its optimizer built, into the state on disk, if there is one.

        Raises:
            StateError: if the state is not one of this model, or is damaged.
        """
        path = self.run.path(STATE)
        if not path.exists():
            return
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as state:
                progress = json.loads(state["progress"].item())
                for name, variables in _groups(model).items():
                    for variable, value in zip(variables, _read(state, name), strict=True):
                        variable.assign(value)
                self._sums = _read(state, "metrics")
        except (ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise StateError(
                f"Invalid value for `--resume`. Expected the state of this training in {path}. "
                f"Received: one that cannot be used ({error}); start again with --overwrite"
            ) from error
        self.epoch, self.step, self.best, self._history = (
            progress[key] for key in ("epoch", "step", "best", "history")
        )

    def restore_best(self, model):
        """Give a model of the training's architecture the weights that were kept."""
        weights = _in_training(model, model.weights)
        with np.load(self.run.path(BEST), allow_pickle=False) as arrays:
            values = [arrays[f"arr_{i}"] for i in range(len(arrays.files))]
        for variable, value in zip(weights, values, strict=True):
            variable.assign(value)

    @property
    def kept(self):
        """The value of `monitor` in the epoch whose weights are kept, or `None`."""
        values = [each[self.monitor] for each in self._history if self.monitor]
        return next(filter(self._as_good, reversed(values)), None)

    def _as_good(self, value):
        """Whether a figure is no more than one standard error below the best."""
        error = math.sqrt(self.best * (1 - self.best) / self.photos)
        return not value < self.best - error  # what is not a number is as good as any

    def discard(self):
        """Delete the state: the run is finished."""
        self.run.path(STATE).unlink(missing_ok=True)

    def saved_at(self):
        """Return in words when the state on disk was written."""
        with contextlib.suppress(OSError), np.load(self.run.path(STATE)) as state:
            progress = json.loads(state["progress"].item())
            return (
                f"after epoch {progress['epoch']} and {progress['step']} of "
                f"{self.steps_per_epoch} steps"
            )
        return "at the beginning"

    def on_epoch_begin(self, epoch, logs=None):
        if epoch and not self.step:
            self._save()

    def on_train_batch_end(self, batch, logs=None):
        self.step += 1
        if self._sums:
            # Metrics are running sums, and not all are there before the first step.
            for variable, value in zip(self.model.metrics_variables, self._sums, strict=True):
                variable.assign(ops.convert_to_numpy(variable) + value)
        self._sums = None
        if not math.isfinite(logs["loss"]):
            raise FloatingPointError(f"the loss is {logs['loss']} at {self._now()}")
        if self.step == self.steps_per_epoch:
            self.model.stop_training = True  # the epoch's end, where it began in its middle
        elif self.stop.signum is not None or (self.every and self.step % self.every == 0):
            self._save()

    def on_epoch_end(self, epoch, logs=None):
        self.model.stop_training = False
        self.epoch, self.step = epoch + 1, 0
        self._history.append({"epoch": epoch, **{k: float(logs[k]) for k in sorted(logs)}})
        if self.monitor:
            self.best = max(self.best or 0.0, float(logs[self.monitor]))
        if self.writes:
            self.run.write_text("history.csv", files.table(self._history))
            if self.monitor is None or self._as_good(logs[self.monitor]):
                with self.run.replacing(BEST) as path, path.open("wb") as file:
                    weights = _in_training(self.model, self.model.weights)
                    np.savez(file, *map(ops.convert_to_numpy, weights))

    def on_train_end(self, logs=None):
        self._save()

    def _now(self):
        return f"epoch {self.epoch + 1}, step {self.step} of {self.steps_per_epoch}"

    def _save(self):
        """Replace the state on disk; then stop, if that was asked for."""
        if self.writes:
            self._write()
        if self.stop.signum is not None:
            raise StoppedError(self.stop.signum, f"{self.run} stopped {self.saved_at()}")

    def _write(self):
        model = self.model
        arrays = {}
        for name, variables in {**_groups(model), "metrics": model.metrics_variables}.items():
            for i, variable in enumerate(variables):
                arrays[f"{name}_{i}"] = value = ops.convert_to_numpy(variable)
                if value.dtype.kind == "f" and not np.isfinite(value).all():
                    raise FloatingPointError(f"{variable.path} is not finite at {self._now()}")
        progress = {
            "epoch": self.epoch,
            "step": self.step,
            "best": self.best,
            "history": self._history,
        }
        with self.run.replacing(STATE) as path, path.open("wb") as file:
            np.savez(file, progress=json.dumps(progress), **arrays)


def _groups(model):
    return {
        "model": _in_training(model, model.variables),
        "optimizer": model.optimizer.variables,
    }


def _in_training(model, variables):
    """Return a model's variables but for those that it learns once its training is over."""
    last = [model.calibration, *([model.fixation_attention] if model.attention else [])]
    later = {variable.path for layer in last for variable in layer.variables}
    return [variable for variable in variables if variable.path not in later]


def _read(state, group):
    return [state[f"{group}_{i}"] for i in range(sum(n.startswith(f"{group}_") for n in state))]
