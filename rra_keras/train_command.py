"""Train a classifier: `rra train --dataset=photos`, with a folder for each class in `photos`.

Flags that are not given are those of --preset:
  {presets}
"""

import dataclasses
import signal
import sys
import textwrap

from absl import flags

from rra_keras import RRAClassifier, cli, quiet
from rra_keras.models import TwoStreamClassifier
from rra_keras.models.presets import PRESETS
from rra_keras.training.config import Config, configure, default_run_dir
from rra_keras.training.final import final_config

FLAGS = flags.FlagValues()

# Each field of `Config` is a flag, and these arguments of the models are.
CONFIG = {field.name: field.type for field in dataclasses.fields(Config) if field.name != "model"}
MODEL = {
    "backbone": str,
    "image_size": int,
    "crop_size": str,  # 224 or 160x320
    "glance_size": int,
    "localizer": str,  # box or none
    "max_refinements": int,
    "max_fixations": int,
    "train_from": str,
}
PAPER = {"steps": int, "units": int}
cli.define(FLAGS, Config, CONFIG)
cli.define(FLAGS, RRAClassifier, MODEL)
cli.define(FLAGS, TwoStreamClassifier, PAPER)
flags.DEFINE_integer(
    "devices",
    1,
    "GPUs of this machine that share each batch (CPU devices where it has none).",
    lower_bound=1,
    flag_values=FLAGS,
)
flags.DEFINE_string(
    "coordinator", None, "Several processes (JAX): HOST:PORT of number 0.", flag_values=FLAGS
)
flags.DEFINE_integer(
    "num_processes", None, "How many processes share each batch.", flag_values=FLAGS
)
flags.DEFINE_integer("process_id", None, "The number of this process, from 0.", flag_values=FLAGS)
flags.DEFINE_string(
    "run_dir", None, "Where to write; a name under `runs/` unless given.", flag_values=FLAGS
)
flags.DEFINE_bool(
    "resume", False, "Go on with the run in --run_dir, if there is one.", flag_values=FLAGS
)
flags.DEFINE_bool(
    "new_photos",
    False,
    "With --resume, go on though photos came to the folder or went; known ones stay in their "
    "splits.",
    flag_values=FLAGS,
)
flags.DEFINE_bool(
    "overwrite", False, "Replace the run in --run_dir, if there is one.", flag_values=FLAGS
)
flags.register_multi_flags_validator(
    ["coordinator", "num_processes", "process_id"],
    lambda values: (
        set(values.values()) == {None}
        or (None not in values.values() and 0 <= values["process_id"] < values["num_processes"])
    ),
    "expected all of --coordinator, --num_processes and --process_id, from 0, or none",
    flag_values=FLAGS,
)
flags.register_multi_flags_validator(
    ["resume", "overwrite"],
    lambda values: not all(values.values()),
    "--resume and --overwrite: expected one of them, received both",
    flag_values=FLAGS,
)


def given(names):
    """Return the flags among `names` that were given."""
    values = {name: FLAGS[name].value for name in names}
    return {name: value for name, value in values.items() if value is not None}


def make_config():
    """Return the `Config` that the flags describe.

    Raises:
        ValueError: if a value is out of range.
    """
    if FLAGS.final:
        others = given(MODEL) | given(PAPER) | given(CONFIG)
        del others["final"]
        if others:
            raise ValueError(
                "Invalid value for `--final`. Expected no other options, as they are those of "
                f"{FLAGS.final}. Received: {', '.join(f'--{name}' for name in others)}"
            )
        return final_config(FLAGS.final)
    model = given(MODEL) | given(PAPER)
    if "crop_size" in model:
        sides = model["crop_size"].split("x")
        if not all(side.isdecimal() for side in sides):
            raise ValueError(
                "Invalid value for `crop_size`. Expected pixels, such as 224 or 160x320. "
                f"Received: {model['crop_size']}"
            )
        model["crop_size"] = tuple(map(int, sides if len(sides) > 1 else sides * 2))
    if model.get("localizer", "box") != "box":
        if model["localizer"] != "none":
            raise ValueError(
                "Invalid value for `localizer`. Expected box, or none for the plain backbone. "
                f"Received: {model['localizer']}"
            )
        model["localizer"] = None
    return configure(model=model, **given(CONFIG))


def help_text():
    """Return what help says above the flags, with the presets' own values."""
    shown = [
        f"{name}: "
        + ", ".join(f"{key}={value}" for key, value in {**preset.model, **preset.training}.items())
        for name, preset in PRESETS.items()
    ]
    lines = [
        line
        for text in shown
        for line in textwrap.wrap(text, 98, initial_indent="  ", subsequent_indent="    ")
    ]
    return __doc__.replace("  {presets}", "\n".join(lines))


def main(argv):
    """Train a run, or go on with one, and draw its `focus.png`; return the exit status."""
    arguments = cli.parse(FLAGS, argv, help_text())
    from rra_keras import trained
    from rra_keras.training import processes
    from rra_keras.training.checkpoint import StateError
    from rra_keras.training.stop import StoppedError

    with cli.bad_input_exits():
        if arguments:
            raise ValueError(
                f"Expected only flags, such as --dataset={arguments[0]}. "
                f"Received: {' '.join(arguments)}"
            )
        config = make_config()
    run_dir = FLAGS.run_dir or default_run_dir(config)

    def end(status, message):
        print(f"\n{message}" if sys.stdout.isatty() else message, file=sys.stderr, flush=True)
        if FLAGS.coordinator:
            processes.exit_now(status)
        return status

    try:
        if FLAGS.coordinator:
            processes.join(FLAGS.coordinator, FLAGS.num_processes, FLAGS.process_id)
        run = trained.train_run(
            config,
            run_dir,
            resume=FLAGS.resume,
            overwrite=FLAGS.overwrite,
            new_photos=FLAGS.new_photos,
            devices=FLAGS.devices,
        )
    except processes.LostProcessError as error:
        return end(1, f"error: {error}")
    except StoppedError as error:
        return end(error.status, f"{error}; --resume goes on from there")
    except KeyboardInterrupt as error:
        status = 128 + (error.args[0] if error.args else signal.SIGINT)
        return end(status, f"{run_dir} stopped; --resume goes on from there")
    except ImportError as error:
        return end(2, f"error: {error}{quiet.advice(error)}")
    except (ValueError, OSError, StateError, FloatingPointError) as error:
        return end(2, f"error: {error}")
    return report(run) if run else 0


def report(run):
    """Print what a finished run is worth; draw its `focus.png`, unless that is there."""
    import keras

    from rra_keras import trained, training

    print(training.report_line(run.metrics, run), flush=True)
    if run.path("focus.png").is_file():
        return 0
    if keras.config.backend() != "tensorflow":
        print("No focus.png: Grad-CAM by tf-keras-vis needs the TensorFlow backend.")
        return 0
    with cli.bad_input_exits():
        splits = (run.source or run.load_data()).splits
        cli.tell(trained.draw_focus(run, splits.get("test", splits["train"])))
    print(f"Drawn: {run.path('focus.png')}")
    return 0


if __name__ == "__main__":
    cli.run(main)
