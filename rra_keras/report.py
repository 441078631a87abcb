"""Report on a run, as a page and tables in its directory: `rra report RUN`."""

from absl import flags

from rra_keras import cli

FLAGS = flags.FlagValues()
cli.define_run(FLAGS)
_DATASET = flags.DEFINE_string(
    "dataset", None, "Data set; the run's own unless given.", flag_values=FLAGS
)
_DATA_DIR = flags.DEFINE_string(
    "data_dir", None, "Where named data sets are kept.", flag_values=FLAGS
)
_SPLIT = flags.DEFINE_enum(
    "split", "test", ["train", "validation", "test"], "Split to report on.", flag_values=FLAGS
)
_BOXES = flags.DEFINE_string(
    "boxes",
    None,
    "Where the objects are, for measuring: a box file, as in training.",
    flag_values=FLAGS,
)
_IMAGES = flags.DEFINE_integer(
    "images",
    None,
    "Images to report on, spread evenly; all unless given.",
    lower_bound=1,
    flag_values=FLAGS,
)
_STRIPS = flags.DEFINE_integer(
    "strips", 6, "Strips of images spread evenly, and of errors.", lower_bound=1, flag_values=FLAGS
)
_FAITHFUL = flags.DEFINE_integer(
    "faithfulness_images",
    32,
    "Images for deletion and insertion; 0 for none.",
    lower_bound=0,
    flag_values=FLAGS,
)
_BATCH_SIZE = flags.DEFINE_integer(
    "batch_size", 16, "Images at a time.", lower_bound=1, flag_values=FLAGS
)


def main(argv):
    """Write a report into a run's directory; return the exit status."""
    arguments = cli.parse(FLAGS, argv, __doc__)
    with cli.bad_input_exits():
        cli.require_tensorflow("a report, whose maps are tf-keras-vis'")
        run, _ = cli.open_run(FLAGS, arguments)

        from rra_keras.explain import fonts
        from rra_keras.reporting import sample
        from rra_keras.reporting import write as reporting

        source = run.load_data(_DATASET.value, _DATA_DIR.value, _SPLIT.value)
        cli.tell([*source.changes, *fonts.lacking(run.class_names)])
        split, boxes = sample.load(source, _SPLIT.value, _BOXES.value, _IMAGES.value)
    written = reporting.write(
        run,
        _DATASET.value or run.config["dataset"],
        split,
        boxes,
        strips=_STRIPS.value,
        faithfulness_images=_FAITHFUL.value,
        batch_size=_BATCH_SIZE.value,
    )
    print("Written: " + ", ".join(map(str, written)))
    return 0


if __name__ == "__main__":
    cli.run(main)
