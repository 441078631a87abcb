"""Results of long steps, kept in a folder: a search that was stopped goes on after the last one."""

import os
import pathlib

import numpy as np


class Memory:
    """Keeps what the steps of a computation return, in the order in which they are made.

    A computation that makes the same steps again gets what is there from the folder. Each file is
    written whole.

    Args:
        folder: where to keep it; `None` keeps nothing.

    Example:
        steps = memory.Memory("steps")
        value = steps.recall("double", lambda: {"value": np.array(4)})
        again = memory.Memory("steps").recall("double", dict)
        assert again["value"] == 4
    """

    def __init__(self, folder=None):
        self._folder = folder and pathlib.Path(folder)
        self._step = 0
        if self._folder:
            self._folder.mkdir(parents=True, exist_ok=True)

    def recall(self, name, compute):
        """Return what a step returned before, or compute and keep it.

        Args:
            name: what the step does, for the file's name.
            compute: returns a dict of arrays.
        """
        self._step += 1
        if not self._folder:
            return {key: np.asarray(value) for key, value in compute().items()}
        path = self._folder / f"{self._step:02d}-{name}.npz"
        if not path.is_file():
            partial = path.with_suffix(".partial")
            with partial.open("wb") as file:
                np.savez(file, **compute())
            os.replace(partial, path)
        with np.load(path, allow_pickle=False) as kept:
            return {key: kept[key] for key in kept.files}
