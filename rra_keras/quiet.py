"""Keep what native libraries log off the screen of a command; to be imported before Keras.

`TF_CPP_MIN_LOG_LEVEL` is the switch. A command sets it to 3, which hides TensorFlow's native errors
too: those that matter reach Python as exceptions. Whoever sets it sees what it lets through.
TensorFlow reads it while it is loaded, and logs two lines before that.
"""

import contextlib
import importlib
import os
import sys


def hush():
    """Set the switch, unless it is set."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def load(name):
    """Import a module; where the switch is above 0, without what native code writes meanwhile."""
    quiet = os.environ.get("TF_CPP_MIN_LOG_LEVEL", "0") != "0" and name not in sys.modules
    with _native_stderr_to_null() if quiet else contextlib.nullcontext():
        importlib.import_module(name)


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


if sys.argv[:1] == ["-m"]:  # `python -m rra_keras.NAME`, while Python looks for NAME
    hush()
load("keras")
