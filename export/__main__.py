"""Export a trained run to files for devices: `rra export RUN`, or `python -m export RUN`.

The files are measured and checked on the photos that the run was trained on, which must be where
they were. It needs `pip install 'rra_keras[export]'`.
"""

import sys

from absl import flags

from rra_keras import cli

_PRECISIONS = ("fp32", "fp16", "int8")

FLAGS = flags.FlagValues()
cli.define_run(FLAGS)
cli.define_known_from(FLAGS)
flags.DEFINE_string(
    "out", None, "New folder for the files; RUN/export unless given.", flag_values=FLAGS
)
flags.DEFINE_bool(
    "overwrite", False, "Replace the export in --out, if there is one.", flag_values=FLAGS
)
flags.DEFINE_multi_enum(
    "precision", _PRECISIONS, _PRECISIONS, "TFLite files to write.", flag_values=FLAGS
)
flags.DEFINE_string(
    "dataset", None, "Data to verify on; the run's own unless given.", flag_values=FLAGS
)
flags.DEFINE_string("data_dir", None, "Where named data sets are kept.", flag_values=FLAGS)
flags.DEFINE_integer(
    "calibration_images",
    100,
    "Training images that int8 takes its biases from.",
    lower_bound=1,
    flag_values=FLAGS,
)
flags.DEFINE_integer(
    "verify_images",
    200,
    "Least images to compare with Keras: the validation split, then training images.",
    lower_bound=1,
    flag_values=FLAGS,
)
flags.DEFINE_integer("latency_runs", 50, "Runs of each latency.", lower_bound=1, flag_values=FLAGS)
flags.DEFINE_integer(
    "gpu_images",
    4,
    "Images to run on a GPU, if one is found; 0: do not look.",
    lower_bound=0,
    flag_values=FLAGS,
)


def main(argv):
    """Write, measure and check an export; return the exit status."""
    arguments = cli.parse(FLAGS, argv, __doc__)
    with cli.bad_input_exits():
        cli.require_tensorflow("an export")
        from . import write

        run, _ = cli.open_run(FLAGS, arguments)
        options = write.Options(**{name: FLAGS[name].value for name in write.OPTIONS})
        folder, failures = write.export(
            run, FLAGS.out, FLAGS.overwrite, FLAGS.dataset, FLAGS.data_dir, options
        )
    if failures:
        print("\n".join(f"error: {failure}" for failure in failures), file=sys.stderr)
        print(
            f"{folder} was not written. --precision=fp32 --precision=fp16 leaves out int8, which "
            "differs most; more --verify_images judge more finely",
            file=sys.stderr,
        )
        return 1
    print(f"Written: {folder}")
    return 0


if __name__ == "__main__":
    from .classify import hush_native_log

    hush_native_log()
    cli.run(main)
