"""Train a classifier: `python train.py --dataset=folder:photos`."""

import math
import re
import sys

from absl import app, flags, logging

flags.DEFINE_string(
    "dataset", "synthetic_birds", "`synthetic_birds`, `folder:PATH` or the name of a TFDS data set."
)
flags.DEFINE_string("data_dir", None, "Where named data sets are kept.")
flags.DEFINE_string(
    "group_regex",
    None,
    "With folder:PATH, keeps all files whose names match the same first group in one split.",
)
flags.DEFINE_enum(
    "preset", "edge", ["edge", "edge_wide", "paper_vgg19"], "Where all defaults come from."
)
flags.DEFINE_string("backbone", None, "EfficientNet-Lite or a keras.applications name.")
flags.DEFINE_string("weights", "imagenet", "Backbone weights: `imagenet`, `none` or a file.")
flags.DEFINE_integer("image_size", None, "Side of the image that looks crop from, pixels.")
flags.DEFINE_string(
    "patch_size", None, "What each crop is resized to, pixels: a side, or HEIGHTxWIDTH."
)
flags.DEFINE_integer("glance_size", None, "Side of the first view of the whole image, pixels.")
flags.DEFINE_enum(
    "localizer", None, ["activation", "cam", "center", "random"], "What places the first look."
)
flags.DEFINE_integer("looks", None, "Looks closer; 0 is the plain backbone.")
flags.DEFINE_integer("steps", None, "Recurrent steps for each look.")
flags.DEFINE_integer("units", None, "Width of the recurrent cells.")
flags.DEFINE_string("train_from", None, "First backbone block to train, e.g. `block_11`.")
flags.DEFINE_enum("augment", None, ["none", "light", "rand", "mix"], "Augmentation.")
flags.DEFINE_integer("epochs", None, "Passes over the training images.")
flags.DEFINE_integer("batch_size", None, "Images a step.")
flags.DEFINE_float("learning_rate", None, "Peak learning rate.")
flags.DEFINE_enum("class_weight", None, ["balanced"], "Let each class count alike in the loss.")
flags.DEFINE_float("label_smoothing", None, "Share of each label that is spread over all classes.")
flags.DEFINE_enum(
    "precision", None, ["float32", "mixed_bfloat16", "mixed_float16"], "What to compute in."
)
flags.DEFINE_integer("accumulation_steps", None, "Batches averaged for one update.")
flags.DEFINE_float("ema", None, "Keep the weights' moving average, of this momentum, e.g. 0.99.")
flags.DEFINE_float(
    "first_layer_rate",
    None,
    "Learning rate of the backbone's first trained layer, as a share of the last one's.",
)
flags.DEFINE_integer(
    "devices", 1, "GPUs of this machine that share each batch (CPU devices where it has none)."
)
flags.DEFINE_string("coordinator", None, "Several processes (JAX): HOST:PORT of number 0.")
flags.DEFINE_integer("num_processes", None, "How many processes share each batch.")
flags.DEFINE_integer("process_id", None, "The number of this process, from 0.")
flags.DEFINE_integer("seed", 0, "Seed of everything random.")
flags.DEFINE_string("run_dir", None, "Where to write; a name under `runs/` unless given.")
flags.DEFINE_bool("resume", False, "Go on with the run in --run_dir, if there is one.")
flags.DEFINE_integer(
    "checkpoint_every", None, "Steps between two states to resume from; each epoch unless given."
)
flags.DEFINE_bool("overwrite", False, "Replace the run in --run_dir, if there is one.")
flags.DEFINE_bool("strict", False, "Refuse a folder with files that are no images.")

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
        _name, lambda value: value is None or value >= 1, "expected a positive integer"
    )
flags.register_validator(
    "patch_size",
    lambda value: value is None or re.fullmatch(r"[1-9]\d*(x[1-9]\d*)?", value),
    "expected pixels, such as 224 or 160x320",
)
for _name in ("looks", "seed"):
    flags.register_validator(
        _name, lambda value: value is None or value >= 0, "expected 0 or a positive integer"
    )
flags.register_validator(
    "learning_rate",
    lambda value: value is None or (math.isfinite(value) and value > 0),
    "expected a finite number above 0",
)
for _name in ("label_smoothing", "ema"):
    flags.register_validator(
        _name, lambda value: value is None or 0 <= value < 1, "expected a number in [0, 1)"
    )
flags.register_validator(
    "first_layer_rate", lambda value: value is None or 0 < value <= 1, "expected a number in (0, 1]"
)
flags.register_multi_flags_validator(
    ["coordinator", "num_processes", "process_id"],
    lambda values: (
        set(values.values()) == {None}
        or (None not in values.values() and 0 <= values["process_id"] < values["num_processes"])
    ),
    "expected all of --coordinator, --num_processes and --process_id, from 0, or none",
)
flags.register_multi_flags_validator(
    ["resume", "overwrite"],
    lambda values: not all(values.values()),
    "--resume and --overwrite: expected one of them, received both",
)


def parse_flags(argv):
    """Parse the flags; exit with 2 on an error, before anything slow is imported."""
    try:
        return flags.FLAGS(argv)
    except flags.Error as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


def given(names):
    """Return the flags among `names` that were given."""
    values = {name: flags.FLAGS[name].value for name in names}
    return {name: value for name, value in values.items() if value is not None}


def main(_):
    from rra_keras import training
    from rra_keras.training import processes
    from rra_keras.training.checkpoint import StateError
    from rra_keras.training.config import configure, default_run_dir
    from rra_keras.training.devices import mirrored
    from rra_keras.training.stop import StoppedError

    logging.set_verbosity(logging.WARNING)  # the data set builders talk
    args = flags.FLAGS
    model = given(_MODEL)
    if "patch_size" in model:
        height, _, width = model["patch_size"].partition("x")
        model["patch_size"] = (int(height), int(width or height))
    config = configure(
        args.preset,
        model,
        **given(_TRAINING),
        dataset=args.dataset,
        data_dir=args.data_dir,
        group_regex=args.group_regex,
        strict=args.strict,
        weights=args.weights,
        seed=args.seed,
    )
    run_dir = args.run_dir or default_run_dir(config)

    def end(status, message):
        print(f"\n{message}" if sys.stdout.isatty() else message, file=sys.stderr)
        if args.coordinator:
            processes.leave(status)
        sys.exit(status)

    try:
        if args.coordinator:
            processes.join(args.coordinator, args.num_processes, args.process_id)
        strategy = mirrored(args.devices)
        prepared = training.prepare(config, run_dir, args.resume, args.overwrite, strategy)
    except (ValueError, OSError, ImportError) as error:
        end(2, f"error: {error}")
    try:
        metrics = training.train(config, prepared)
    except (StateError, OSError, FloatingPointError) as error:
        end(2, f"error: {error}")
    except processes.LostProcessError as error:
        end(1, f"error: {error}")
    except StoppedError as error:
        end(error.status, f"{error}; --resume goes on from there")
    if metrics:
        print(training.report_line(metrics, run_dir))


if __name__ == "__main__":
    app.run(main, flags_parser=parse_flags)
