"""Train a classifier: `python train.py --dataset=folder:photos`."""

import dataclasses
import os
import signal
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow is imported: see `quiet`

from absl import flags

from rra_keras import RRAClassifier, cli, quiet
from rra_keras.models import TwoStreamClassifier

quiet.load("tensorflow")  # which reads the data, whatever Keras runs on

from rra_keras.training.config import Config, configure, default_run_dir  # noqa: E402

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


def main(argv):
    """Train a run, or go on with one, and draw its `focus.png`; return the exit status."""
    cli.parse(FLAGS, argv)
    from rra_keras import training
    from rra_keras.runs import Run
    from rra_keras.training import processes
    from rra_keras.training.checkpoint import StateError
    from rra_keras.training.devices import mirrored
    from rra_keras.training.objects import describe
    from rra_keras.training.stop import StoppedError

    with cli.bad_input_exits():
        config = make_config()
    run = Run(FLAGS.run_dir or default_run_dir(config))

    def end(status, message):
        print(f"\n{message}" if sys.stdout.isatty() else message, file=sys.stderr, flush=True)
        if FLAGS.coordinator:
            processes.exit_now(status)
        return status

    try:
        if FLAGS.resume and run.metrics is not None:
            run.check_available(dataclasses.asdict(config), resume=True)
            print(f"{run} is finished: nothing to resume.")
            return report(run)
        if FLAGS.coordinator:
            processes.join(FLAGS.coordinator, FLAGS.num_processes, FLAGS.process_id)
        strategy = mirrored(FLAGS.devices)
        prepared = training.prepare(
            config,
            run.directory,
            FLAGS.resume,
            FLAGS.overwrite,
            strategy,
            new_photos=FLAGS.new_photos,
        )
        objects = training.objects_of(config, prepared)
        model = training.build(config, prepared, objects)
        if objects and processes.number_and_count()[0] == 0:
            print(describe(objects, model, run), flush=True)
            draw_objects(run, prepared)
    except processes.LostProcessError as error:
        return end(1, f"error: {error}")
    except KeyboardInterrupt as error:
        status = 128 + (error.args[0] if error.args else signal.SIGINT)
        return end(status, f"{run} stopped before the training; --resume goes on from there")
    except (ValueError, OSError, ImportError) as error:
        return end(2, f"error: {error}")
    try:
        metrics = training.train(config, prepared, model)
    except (StateError, OSError, FloatingPointError) as error:
        return end(2, f"error: {error}")
    except processes.LostProcessError as error:
        return end(1, f"error: {error}")
    except StoppedError as error:
        return end(error.status, f"{error}; --resume goes on from there")
    return report(run, prepared.source) if metrics else 0


def draw_objects(run, prepared, photos=48):
    """Draw the objects that were found in some of the training photos."""
    from rra_keras.data import pipeline
    from rra_keras.explain import objects
    from rra_keras.training.objects import read_objects

    if run.path("objects.jpg").is_file():
        return
    places, boxes, confidence = read_objects(run, prepared.source.splits["train"])
    chosen = range(0, len(places), max(1, len(places) // photos))[:photos]
    some = prepared.source.splits["train"].subset(places[chosen])
    images, _ = next(pipeline.evaluation_batches(some, 448, photos).as_numpy_iterator())
    with run.replacing("objects.jpg") as path:
        objects.draw(images, boxes[chosen], confidence[chosen], path)


def report(run, source=None):
    """Print what a finished run is worth; draw its `focus.png`, unless that is there."""
    import keras

    from rra_keras import training

    print(training.report_line(run.metrics, run), flush=True)
    if run.path("focus.png").is_file():
        return 0
    if keras.config.backend() != "tensorflow":
        print("No focus.png: Grad-CAM by tf-keras-vis needs the TensorFlow backend.")
        return 0
    with cli.bad_input_exits():
        draw_focus(run, (source or run.load_data()).splits["test"])
    print(f"Drawn: {run.path('focus.png')}")
    return 0


def draw_focus(run, test, photos=4):
    """Draw what a run's model looks at in a few of the test photos."""
    from rra_keras.data import pipeline
    from rra_keras.explain import focus, fonts

    cli.tell(fonts.lacking(run.class_names))
    model = run.load_model()
    some = test.subset(range(0, test.size, max(1, test.size // photos))[:photos])
    batches = pipeline.evaluation_batches(some, model.image_size, photos)
    images, labels = next(batches.as_numpy_iterator())
    with run.replacing("focus.png") as path:
        focus.draw(model, images, labels, run.class_names, path, some.aspects())


if __name__ == "__main__":
    cli.run(main)
