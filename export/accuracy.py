"""Accuracy of exported files: `python -m export.accuracy --run=RUN --split=test`.

Each file runs piece by piece, as on a device, and is compared with Keras on the same images: prints
accuracy, the difference with its standard error, how many images get Keras' first class, and what
an image takes on average.
"""

from absl import flags

from rra_keras import answers, cli

FLAGS = flags.FlagValues()
cli.define_run(FLAGS)
flags.DEFINE_string(
    "export", None, "Folder of its export; RUN/export unless given.", flag_values=FLAGS
)
flags.DEFINE_string("dataset", None, "Data set; the run's own unless given.", flag_values=FLAGS)
flags.DEFINE_string("data_dir", None, "Where named data sets are kept.", flag_values=FLAGS)
flags.DEFINE_enum(
    "split", "validation", ["validation", "test"], "Split to measure.", flag_values=FLAGS
)


def main(argv):
    """Print a table; return the exit status."""
    arguments = cli.parse(FLAGS, argv, __doc__)
    args = FLAGS
    from . import output_folder
    from .classify import Classifier
    from .convert import flatbuffer
    from .verify import measure
    from .verify.reference import keras_reference

    with cli.bad_input_exits():
        run, _ = cli.open_run(FLAGS, arguments)
        files = output_folder.exported_files(args.export or run.path("export"))
        source, model = run.load_data(args.dataset, args.data_dir, args.split), run.load_model()
        cli.tell(source.changes)
    reference = keras_reference(model, [source.splits[args.split]])
    logits, answer = reference.expected["logits"], answers.of(model.answer)
    keras = answer.right(model.calibration, logits, reference.labels).mean()
    print(f"{args.split}, {len(reference.labels)} images; Keras: {keras:.1%}")
    print(f"{'file':18} accuracy  difference (error)  as Keras  fixations  M mult-adds")
    for file in files:
        costs = flatbuffer.multiply_adds(flatbuffer.read(file.read_bytes()))
        row = measure.fixations_report(Classifier(file), reference, costs)
        apart = f"{100 * (row['accuracy'] - keras):+.1f} ({100 * row['accuracy_error']:.1f})"
        print(
            f"{file.name:18} {row['accuracy']:8.1%}  {apart:>18}  {row['agreement']:8.1%}  "
            f"{row['reads']:9.2f}  {row['multiply_adds']['average'] / 1e6:11,.0f}"
        )
    return 0


if __name__ == "__main__":
    from .classify import hush_native_log

    hush_native_log()
    cli.run(main)
