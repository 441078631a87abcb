"""What all commands share: how they read flags, answer bad input and keep the screen quiet.

A command is a module with flags of its own and a `main`:

    FLAGS = flags.FlagValues()
    _OUT = flags.DEFINE_string("out", None, "File to write.", required=True, flag_values=FLAGS)

    def main(argv):
        photos = cli.parse(FLAGS, argv, __doc__)
        ...
        return 0

    if __name__ == "__main__":
        cli.run(main)
"""

import contextlib
import inspect
import logging
import os
import pathlib
import re
import signal
import sys
import tempfile
import typing
import warnings

import absl.logging
from absl import flags

from rra_keras import quiet

flags.disclaim_key_flags()  # help lists a command's flags under the command

HELP = {"--help", "--helpshort", "--helpfull", "-help", "-h", "-?"}
_LOGGERS = ("jax", "keras", "matplotlib", "tensorflow")  # of libraries, beside absl's


def run(main):
    """Run a command with a quiet screen, and end the process with its exit status.

    Args:
        main: takes the arguments that follow the program's name, returns the exit status.
    """
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # a terminal may not know a file's letters
    signal.signal(signal.SIGTERM, _terminate)
    quiet.hush()
    quiet.load("tensorflow")  # which reads the data, whatever Keras runs on
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    _set_log_level(absl.logging.ERROR)
    if not sys.stderr.isatty():
        os.environ.setdefault("TQDM_DISABLE", "1")  # no progress bars in files
    sys.exit(guarded(main, sys.argv[1:]))


def guarded(main, argv):
    """Run a command; what is not its fault ends it in a line, and never in a traceback.

    Args:
        main: takes arguments, returns the exit status.
        argv: the arguments.

    Returns:
        What `main` returns; 2 where a file cannot be read or written, or a package is missing; 130
        or 143 after Ctrl+C or SIGTERM; 141, without a word, where nobody reads what is printed.
    """
    try:
        status = main(argv)
        sys.stdout.flush()
    except KeyboardInterrupt as error:
        signum = error.args[0] if error.args else signal.SIGINT
        print(f"stopped by {signal.Signals(signum).name}", file=sys.stderr)
        return 128 + signum
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what is left to flush
        return 128 + getattr(signal, "SIGPIPE", 13)
    except ImportError as error:
        print(f"error: {error}{quiet.advice(error)}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return status


def _terminate(signum, _):
    raise KeyboardInterrupt(signum)


def _set_log_level(verbosity):
    absl.logging.set_verbosity(verbosity)
    for name in _LOGGERS:
        logging.getLogger(name).setLevel(absl.logging.converter.absl_to_standard(verbosity))


_DEFINE = {
    bool: flags.DEFINE_bool,
    float: flags.DEFINE_float,
    int: flags.DEFINE_integer,
    str: flags.DEFINE_string,
}


def define(FLAGS, described, kinds):  # noqa: N803
    """Define flags of what a class takes, described as its docstring does.

    Args:
        FLAGS: the command's `absl.flags.FlagValues`.
        described: a class whose docstring has a section `Args:` or `Attributes:`.
        kinds: name → type, `int` or `int | None`; a flag that is not given is `None`.
    """
    texts = descriptions(described)
    for name, kind in kinds.items():
        kind = (typing.get_args(kind) or (kind,))[0]
        _DEFINE[kind](name, None, texts[name], flag_values=FLAGS)


def descriptions(described):
    """Return what a class' docstring says of each argument or attribute, name → text."""
    lines = re.split(r"\n    (?=\w+: )", inspect.getdoc(described))[1:]
    pairs = (line.split("\n\n")[0].partition(": ") for line in lines)
    return {name: " ".join(text.split()) for name, _, text in pairs}


def parse(FLAGS, argv, text):  # noqa: N803
    """Parse the flags of a command.

    `--help` shows them all and ends the command; `--verbosity=1` lets Python libraries log.

    Args:
        FLAGS: the command's `absl.flags.FlagValues`.
        argv: the arguments that follow the program's name.
        text: what help says above the flags.

    Returns:
        The arguments that are not flags.

    Raises:
        SystemExit: with status 2, after one line on standard error, if a flag is wrong; with
            status 0 after help.
    """
    if "verbosity" not in FLAGS:
        flags.DEFINE_integer(
            "verbosity",
            None,
            "What libraries log: -1 warnings, 0 information, 1 details; only errors unless given. "
            "TF_CPP_MIN_LOG_LEVEL=0 shows what native code logs.",
            flag_values=FLAGS,
        )
    if HELP & set(argv):
        print(text, FLAGS.get_help(include_special_flags=False), sep="\n")
        sys.exit(0)
    FLAGS.unparse_flags()  # those of a call before
    try:
        _, *positional = FLAGS([sys.argv[0], *argv])
    except flags.Error as error:
        fail(error)
    if FLAGS["verbosity"].present:
        warnings.simplefilter("default")
        _set_log_level(FLAGS["verbosity"].value)
    return positional


def define_run(FLAGS):  # noqa: N803
    """Define the flag that names a run, for `open_run`."""
    flags.DEFINE_string(
        "run",
        None,
        "A finished run: its directory, or its model.keras. The first argument unless given.",
        flag_values=FLAGS,
    )


def define_known_from(FLAGS):  # noqa: N803
    """Define the flag that moves the threshold of "none of these"; `None` unless given."""
    flags.DEFINE_float(
        "known_from",
        None,
        "Least score of a photo that is given a class; below it is none of these. The run's own "
        "unless given; `rra evaluate` prints which score keeps how many photos.",
        flag_values=FLAGS,
    )


def open_run(FLAGS, arguments, more=None):  # noqa: N803
    """Open the finished run that `--run` or else the first argument names.

    Args:
        FLAGS: the command's flags, with `define_run`'s.
        arguments: those that are not flags.
        more: what further arguments are; `None` where the command takes none.

    Returns:
        The `Run`, and the further arguments.

    Raises:
        ValueError: if there is no such run, or arguments are missing or too many.
    """
    from rra_keras.runs import Run

    name, *rest = [FLAGS.run, *arguments] if FLAGS.run else arguments or [None]
    if name is None:
        raise ValueError("Expected a run, as --run=RUN or as the first argument. Received none")
    if rest and not more:
        raise ValueError(f"Expected no further arguments. Received: {' '.join(rest)}")
    if more and not rest:
        raise ValueError(f"Expected {more}. Received none")
    return Run.open(name), rest


@contextlib.contextmanager
def bad_input_exits():
    """Turn the errors that input can cause into a line on standard error and exit status 2."""
    try:
        yield
    except (ValueError, OSError) as error:
        fail(error)
    except ImportError as error:
        fail(f"{error}{quiet.advice(error)}")


def require_tensorflow(what):
    """Raise a `ValueError` unless Keras runs on TensorFlow.

    Args:
        what: what needs it, for the message.
    """
    import keras

    if (backend := keras.config.backend()) != "tensorflow":
        raise ValueError(
            f"Invalid value for `KERAS_BACKEND`. Expected 'tensorflow' for {what}. "
            f"Received: {backend!r}"
        )


def check_output(flag, path):
    """Raise a `ValueError` unless a command may write a file there, before it does any work.

    Args:
        flag: the flag's name, for the message.
        path: the file, which is made or replaced; `None` where the flag was not given.
    """
    if path is None:
        return
    from rra_keras.data import decode

    target = pathlib.Path(path)
    problem = None
    if target.exists() and not target.is_file():
        problem = "no file"
    elif not target.parent.is_dir():
        problem = f"and {target.parent} is no folder"
    elif reason := _no_writing(target.parent):
        problem = f"and {target.parent} cannot be written to ({reason})"
    elif target.is_file():
        with contextlib.suppress(ValueError, OSError):  # what is no photo may be replaced
            decode.needs_pillow(target)
            problem = "a photo"  # `--fixations_csv *.jpg` takes the first for the file to write
    if problem:
        raise ValueError(
            f"Invalid value for `--{flag}`. Expected a file to write. Received: {path}, {problem}"
        )


def check_folder(flag, path):
    """Raise a `ValueError` unless a command may write files below a folder, which need not exist.

    Args:
        flag: the flag's name, for the message.
        path: the folder.
    """
    place = pathlib.Path(path)
    while not place.exists():
        place = place.parent
    reason = _no_writing(place) if place.is_dir() else "a file"
    if reason:
        reason = f"cannot be written to ({reason})" if place.is_dir() else "is a file"
        raise ValueError(
            f"Invalid value for `--{flag}`. Expected a folder to write to. Received: {path}, and "
            f"{place} {reason}"
        )


def _no_writing(folder):
    """Return why no file can be made in a folder; `None` if one can."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            return None
    except OSError as error:
        return error.strerror


def write_table(path, rows):
    """Replace a file by a table of rows; `-` prints it."""
    from rra_keras.runs import files

    if path == "-":
        print(files.table(rows), end="")
    else:
        files.write_text(path, files.table(rows))


def tell(lines):
    """Print lines on standard error, beside what a command prints for programs."""
    for line in lines:
        print(line, file=sys.stderr)


def fail(error):
    """Print `error` on standard error and exit with status 2."""
    print(f"error: {error}", file=sys.stderr)
    sys.exit(2)
