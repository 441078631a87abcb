"""Export a trained run: `python -m export --model=RUN/model.keras --out=RUN/export`."""

import pathlib
import sys

from absl import flags

from export import output_folder
from rra_keras import cli

_PRECISIONS = ("fp32", "fp16", "int8")

FLAGS = flags.FlagValues()
flags.DEFINE_string(
    "model",
    None,
    "A run's model.keras; its config.json and labels.txt lie beside it.",
    required=True,
    flag_values=FLAGS,
)
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
    cli.parse(FLAGS, argv)
    args = FLAGS
    out = pathlib.Path(args.out or pathlib.Path(args.model).parent / "export")
    with cli.bad_input_exits():
        cli.require_tensorflow("an export")
        output_folder.check_available(out, "an export", ["report.json"], args.overwrite)
        from export.write import write
        from rra_keras.runs import Run

        run = Run.of_model(args.model)
        source, model = run.load_data(args.dataset, args.data_dir), run.load_model()
        cli.tell(source.changes)
        with output_folder.scratch_beside(out) as scratch:
            failures = write(model, run, source, scratch / "new", args)
            if not failures:
                output_folder.replace_folder(scratch / "new", out)
    if failures:
        print("\n".join(f"error: {failure}" for failure in failures), file=sys.stderr)
        print(f"{out} was not written", file=sys.stderr)
        return 1
    print(f"wrote {out}")
    return 0


if __name__ == "__main__":
    from export.classify import hush_native_log

    hush_native_log()
    cli.run(main)
