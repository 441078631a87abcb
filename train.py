"""Train a classifier: `python train.py --dataset=folder:photos`."""

import dataclasses
import math
import os
import re
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow is imported: see `quiet`

from absl import flags

from rra_keras import cli

FLAGS = flags.FlagValues()
flags.DEFINE_string(
    "dataset",
    "synthetic_birds",
    "`synthetic_birds`, `folder:PATH` or the name of a TFDS data set.",
    flag_values=FLAGS,
)
flags.DEFINE_string("data_dir", None, "Where named data sets are kept.", flag_values=FLAGS)
flags.DEFINE_string(
    "group_regex",
    None,
    "With folder:PATH, keeps all files whose names match the same first group in one split.",
    flag_values=FLAGS,
)
flags.DEFINE_enum(
    "preset",
    "edge",
    ["edge", "edge_wide", "paper_vgg19"],
    "Where all defaults come from.",
    flag_values=FLAGS,
)
flags.DEFINE_string(
    "backbone", None, "EfficientNet-Lite or a keras.applications name.", flag_values=FLAGS
)
flags.DEFINE_string(
    "weights", "imagenet", "Backbone weights: `imagenet`, `none` or a file.", flag_values=FLAGS
)
flags.DEFINE_integer(
    "image_size", None, "Side of the image that looks crop from, pixels.", flag_values=FLAGS
)
flags.DEFINE_string(
    "patch_size",
    None,
    "What each crop is resized to, pixels: a side, or HEIGHTxWIDTH.",
    flag_values=FLAGS,
)
flags.DEFINE_integer(
    "glance_size", None, "Side of the first view of the whole image, pixels.", flag_values=FLAGS
)
flags.DEFINE_enum(
    "localizer",
    None,
    ["activation", "cam", "center", "random"],
    "What places the first look.",
    flag_values=FLAGS,
)
flags.DEFINE_integer("looks", None, "Looks closer; 0 is the plain backbone.", flag_values=FLAGS)
flags.DEFINE_integer("steps", None, "Recurrent steps for each look.", flag_values=FLAGS)
flags.DEFINE_integer("units", None, "Width of the recurrent cells.", flag_values=FLAGS)
flags.DEFINE_string(
    "train_from", None, "First backbone block to train, e.g. `block_11`.", flag_values=FLAGS
)
flags.DEFINE_enum(
    "augment", None, ["none", "light", "rand", "mix"], "Augmentation.", flag_values=FLAGS
)
flags.DEFINE_integer("epochs", None, "Passes over the training images.", flag_values=FLAGS)
flags.DEFINE_integer("batch_size", None, "Images a step.", flag_values=FLAGS)
flags.DEFINE_float("learning_rate", None, "Peak learning rate.", flag_values=FLAGS)
flags.DEFINE_enum(
    "class_weight", None, ["balanced"], "Let each class count alike in the loss.", flag_values=FLAGS
)
flags.DEFINE_float(
    "label_smoothing",
    None,
    "Share of each label that is spread over all classes.",
    flag_values=FLAGS,
)
flags.DEFINE_enum(
    "precision",
    None,
    ["float32", "mixed_bfloat16", "mixed_float16"],
    "What to compute in.",
    flag_values=FLAGS,
)
flags.DEFINE_integer(
    "accumulation_steps", None, "Batches averaged for one update.", flag_values=FLAGS
)
flags.DEFINE_float(
    "ema", None, "Keep the weights' moving average, of this momentum, e.g. 0.99.", flag_values=FLAGS
)
flags.DEFINE_float(
    "first_layer_rate",
    None,
    "Learning rate of the backbone's first trained layer, as a share of the last one's.",
    flag_values=FLAGS,
)
flags.DEFINE_integer(
    "devices",
    1,
    "GPUs of this machine that share each batch (CPU devices where it has none).",
    flag_values=FLAGS,
)
flags.DEFINE_string(
    "coordinator", None, "Several processes (JAX): HOST:PORT of number 0.", flag_values=FLAGS
)
flags.DEFINE_integer(
    "num_processes", None, "How many processes share each batch.", flag_values=FLAGS
)
flags.DEFINE_integer("process_id", None, "The number of this process, from 0.", flag_values=FLAGS)
flags.DEFINE_integer("seed", 0, "Seed of everything random.", flag_values=FLAGS)
flags.DEFINE_string(
    "run_dir", None, "Where to write; a name under `runs/` unless given.", flag_values=FLAGS
)
flags.DEFINE_bool(
    "resume", False, "Go on with the run in --run_dir, if there is one.", flag_values=FLAGS
)
flags.DEFINE_integer(
    "checkpoint_every",
    None,
    "Steps between two states to resume from; each epoch unless given.",
    flag_values=FLAGS,
)
flags.DEFINE_bool(
    "overwrite", False, "Replace the run in --run_dir, if there is one.", flag_values=FLAGS
)
flags.DEFINE_bool(
    "strict", False, "Refuse a folder with files that are no images.", flag_values=FLAGS
)

_MODEL = "backbone image_size patch_size glance_size localizer looks steps units train_from".split()
_TRAINING = (
    "augment epochs batch_size learning_rate class_weight label_smoothing precision "
    "accumulation_steps ema first_layer_rate checkpoint_every"
).split()

for _name in (
    "image_size glance_size steps units epochs batch_size accumulation_steps checkpoint_every "
    "devices"
).split():
    flags.register_validator(
        _name,
        lambda value: value is None or value >= 1,
        "expected a positive integer",
        flag_values=FLAGS,
    )
flags.register_validator(
    "patch_size",
    lambda value: value is None or re.fullmatch(r"[1-9]\d*(x[1-9]\d*)?", value),
    "expected pixels, such as 224 or 160x320",
    flag_values=FLAGS,
)
for _name in ("looks", "seed"):
    flags.register_validator(
        _name,
        lambda value: value is None or value >= 0,
        "expected 0 or a positive integer",
        flag_values=FLAGS,
    )
flags.register_validator(
    "learning_rate",
    lambda value: value is None or (math.isfinite(value) and value > 0),
    "expected a finite number above 0",
    flag_values=FLAGS,
)
for _name in ("label_smoothing", "ema"):
    flags.register_validator(
        _name,
        lambda value: value is None or 0 <= value < 1,
        "expected a number in [0, 1)",
        flag_values=FLAGS,
    )
flags.register_validator(
    "first_layer_rate",
    lambda value: value is None or 0 < value <= 1,
    "expected a number in (0, 1]",
    flag_values=FLAGS,
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
    """Return the `Config` that the flags describe."""
    from rra_keras.training.config import configure

    model = given(_MODEL)
    if "patch_size" in model:
        height, _, width = model["patch_size"].partition("x")
        model["patch_size"] = (int(height), int(width or height))
    others = ("dataset", "data_dir", "group_regex", "strict", "weights", "seed")
    return configure(
        FLAGS.preset,
        model,
        **given(_TRAINING),
        **{name: FLAGS[name].value for name in others},
    )


def main(argv):
    """Train a run, or go on with one, and draw its `focus.png`; return the exit status."""
    cli.parse(FLAGS, argv)
    from rra_keras import training
    from rra_keras.training import processes
    from rra_keras.training.checkpoint import StateError
    from rra_keras.training.config import default_run_dir
    from rra_keras.training.devices import mirrored
    from rra_keras.training.run import Run
    from rra_keras.training.stop import StoppedError

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
        prepared = training.prepare(config, run.directory, FLAGS.resume, FLAGS.overwrite, strategy)
    except (ValueError, OSError, ImportError) as error:
        return end(2, f"error: {error}")
    try:
        metrics = training.train(config, prepared)
    except (StateError, OSError, FloatingPointError) as error:
        return end(2, f"error: {error}")
    except processes.LostProcessError as error:
        return end(1, f"error: {error}")
    except StoppedError as error:
        return end(error.status, f"{error}; --resume goes on from there")
    return report(run, prepared.source) if metrics else 0


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
    from rra_keras.explain import focus

    model = run.load_model()
    some = test.subset(range(0, test.size, max(1, test.size // photos))[:photos])
    batches = pipeline.evaluation_batches(some, model.image_size, photos, model.num_classes)
    images, labels = next(batches.as_numpy_iterator())
    with run.replacing("focus.png") as path:
        focus.draw(model, images, labels.argmax(-1), run.class_names, path)


if __name__ == "__main__":
    cli.run(main)
