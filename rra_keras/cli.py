"""How every command answers bad input: one clear line, exit status 2."""

import contextlib
import sys

from absl import flags


def parse(flag_values, argv):
    """Parse a command's own flags, anew at each call.

    Args:
        flag_values: an `absl.flags.FlagValues`.
        argv: the arguments, without the program's name.

    Returns:
        The positional arguments, a list.
    """
    flag_values.unparse_flags()
    if "--help" in argv:
        print(flag_values.get_help())
        sys.exit(0)
    try:
        return flag_values(["", *argv])[1:]
    except flags.Error as error:
        fail(error)


def run(main):
    """Run a command with the command line's arguments and exit with the status it returns."""
    sys.exit(main(sys.argv[1:]))


def parse_flags(argv):
    """Parse absl flags for `app.run`, exiting with 2 rather than absl's 1 on an error."""
    try:
        return flags.FLAGS(argv)
    except flags.Error as error:
        fail(error)


@contextlib.contextmanager
def bad_input_exits():
    """Turn the errors that input can cause into a line on standard error and exit status 2."""
    try:
        yield
    except (ValueError, OSError, ImportError) as error:
        fail(error)


def require_tensorflow(what):
    """Raise a `ValueError` unless Keras runs on TensorFlow."""
    import keras

    if (backend := keras.config.backend()) != "tensorflow":
        raise ValueError(
            f"Invalid value for `KERAS_BACKEND`. Expected 'tensorflow' for {what}. "
            f"Received: {backend!r}"
        )


def fail(error):
    """Print `error` on standard error and exit with 2."""
    print(f"error: {error}", file=sys.stderr)
    sys.exit(2)
