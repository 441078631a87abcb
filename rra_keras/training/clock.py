"""Where the time of a run goes."""

import time

import keras


class Clock(keras.callbacks.Callback):
    """Adds up the seconds of each phase of a run."""

    def __init__(self):
        super().__init__()
        self.seconds = {}
        self.steps = 0
        self._phase = None

    def start(self, phase):
        """End the phase under way and start another."""
        self.stop()
        self._phase, self._since = phase, time.perf_counter()

    def stop(self):
        """End the phase under way."""
        if self._phase:
            elapsed = time.perf_counter() - self._since
            self.seconds[self._phase] = self.seconds.get(self._phase, 0.0) + elapsed
        self._phase = None

    def on_epoch_begin(self, epoch, logs=None):
        self.start("training")

    def on_train_batch_end(self, batch, logs=None):
        self.steps += 1

    def on_test_begin(self, logs=None):
        self.start("validation")

    def on_test_end(self, logs=None):
        self.start("checkpoints")

    def images_per_second(self, batch_size):
        """Return the mean training rate, the first step's compilation included."""
        seconds = self.seconds.get("training")
        return self.steps * batch_size / seconds if seconds else None

    def summary(self):
        """Return the phases and their seconds in one line."""
        return ", ".join(f"{phase} {seconds:.0f} s" for phase, seconds in self.seconds.items())
