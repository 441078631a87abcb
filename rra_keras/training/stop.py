"""Ending a training from outside, after the step under way."""

import os
import signal
import threading


class StoppedError(Exception):
    """A training has ended because a signal asked for it; its state is on disk.

    Attributes:
        status: the exit status that tells of the signal, 128 + its number.
    """

    def __init__(self, signum, message):
        super().__init__(message)
        self.status = 128 + signum


class StopRequest:
    """Takes SIGINT and SIGTERM as a request, while entered; a second one ends the process.

    Outside the main thread, where no signals arrive, it requests nothing.

    Attributes:
        signum: the signal that came, or `None`.
    """

    def __init__(self):
        self.signum = None
        self._before = {}

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():
            for signum in (signal.SIGINT, signal.SIGTERM):
                self._before[signum] = signal.signal(signum, self._note)
        return self

    def __exit__(self, *_):
        for signum, handler in self._before.items():
            signal.signal(signum, handler)

    def _note(self, signum, _):
        self.signum = signum
        signal.signal(signum, self._before[signum])
        said = (
            f"\n{signal.Signals(signum).name}: stopping after this step; once more to stop now.\n"
        )
        os.write(2, said.encode())  # print fails where the signal came while something was printed
