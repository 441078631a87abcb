"""Export a trained run: `python -m export --model=RUN/model.keras --out=RUN/export`."""

import os
import pathlib
import sys
import tempfile

from absl import app, flags

from rra_keras import cli

_PRECISIONS = ("fp32", "fp16", "int8")

flags.DEFINE_string(
    "model", None, "A run's model.keras; its config.json and labels.txt lie beside it."
)
flags.DEFINE_string("out", None, "New folder for the files; RUN/export unless given.")
flags.DEFINE_bool("overwrite", False, "Replace the export in --out, if there is one.")
flags.DEFINE_multi_enum("precision", _PRECISIONS, _PRECISIONS, "TFLite files to write.")
flags.DEFINE_string("dataset", None, "Data to verify on; the run's own unless given.")
flags.DEFINE_string("data_dir", None, "Where named data sets are kept.")
flags.DEFINE_integer(
    "calibration_images", 100, "Training images that int8 takes its biases from.", lower_bound=1
)
flags.DEFINE_integer(
    "verify_images",
    200,
    "Least images to compare with Keras: the validation split, then training images.",
    lower_bound=1,
)
flags.DEFINE_integer("latency_runs", 50, "Runs of each latency.", lower_bound=1)
flags.DEFINE_integer(
    "gpu_images", 4, "Images to run on a GPU, if one is found; 0: do not look.", lower_bound=0
)
flags.mark_flag_as_required("model")


def main(_):
    args = flags.FLAGS
    out = pathlib.Path(args.out or pathlib.Path(args.model).parent / "export")
    with cli.bad_input_exits():
        cli.require_tensorflow("an export")
        check_available(out, args.overwrite)
        from export import trained
        from export.write import write

        run, source = trained.open_run(args.model, args.dataset, args.data_dir)
        model = trained.load_model(args.model, run.class_names)
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".partial-", dir=out.parent) as folder:
            partial = pathlib.Path(folder, "export")
            failures = write(model, run, source, partial, args)
            if not failures:
                put(partial, out)
    if failures:
        print("\n".join(f"error: {failure}" for failure in failures), file=sys.stderr)
        print(f"{out} was not written", file=sys.stderr)
        sys.exit(1)
    print(f"wrote {out}")


def check_available(out, overwrite):
    """Raise a ValueError unless `out` may be written, and touch nothing."""
    if out.exists() and not out.is_dir():
        raise ValueError(f"Invalid value for `--out`. Expected a folder. Received: {out}")
    if not out.is_dir() or not any(out.iterdir()):
        return
    if not (out / "report.json").is_file():
        raise ValueError(
            "Invalid value for `--out`. Expected a new or empty folder, or an export. "
            f"Received: {out}, which holds other files"
        )
    if not overwrite:
        raise ValueError(
            "Invalid value for `--out`. Expected a new or empty folder. "
            f"Received: {out}, which holds an export; pass --overwrite to replace it"
        )


def put(partial, out):
    """Move a finished export to its place; what was there is deleted after that."""
    if out.exists():
        old = partial.with_name("old")
        os.rename(out, old)
    os.rename(partial, out)


if __name__ == "__main__":
    from export.classify import hush_native_log

    hush_native_log()
    app.run(main, flags_parser=cli.parse_flags)
