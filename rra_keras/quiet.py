"""Keep what native libraries log off the screen of a command; to be imported before Keras.

`TF_CPP_MIN_LOG_LEVEL` is the switch. A command sets it to 3, which hides TensorFlow's native errors
too: those that matter reach Python as exceptions. Whoever sets it sees what it lets through.
TensorFlow reads it while it is loaded, and logs two lines before that.
"""

import contextlib
import importlib
import os
import pathlib
import sys


def hush():
    """Set the switch, unless it is set."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def load(name):
    """Import a module; where the switch is above 0, without what native code writes meanwhile."""
    quiet = os.environ.get("TF_CPP_MIN_LOG_LEVEL", "0") != "0" and name not in sys.modules
    with _native_stderr_to_null() if quiet else contextlib.nullcontext():
        importlib.import_module(name)


_EXTRAS = {"ai_edge_litert": "rra_keras[export]", "pillow_heif": "rra_keras[heic]"}


def advice(error):
    """Return what to install after an `ImportError`, to be appended to it."""
    name = (error.name or "").split(".")[0]
    return f"; `pip install '{_EXTRAS.get(name, name)}'`" if name else ""


def _load_keras():
    """Import Keras; a backend that is not there ends a command in a line."""
    try:
        load("keras")
    except (ImportError, ValueError) as error:
        backend = os.environ.get("KERAS_BACKEND", "tensorflow")
        message = (
            f"Keras cannot run on {backend!r}, what KERAS_BACKEND or ~/.keras/keras.json says: "
            f"{error}. Expected one that is installed: tensorflow, or jax (`pip install jax`)"
        )
        if sys.argv[:1] != ["-m"] and pathlib.Path(sys.argv[0]).stem not in _COMMANDS:
            raise ImportError(message) from error
        print(f"error: {message}", file=sys.stderr)
        sys.exit(2)


_COMMANDS = ("train", "rra")


@contextlib.contextmanager
def _native_stderr_to_null():
    kept, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(null)


# `python -m rra_keras.NAME`, while Python looks for NAME; or the console script.
if sys.argv[:1] == ["-m"] or pathlib.Path(*sys.argv[:1]).stem == "rra":
    hush()
_load_keras()
