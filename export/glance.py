"""When the glance is enough: `python -m export.glance --model=RUN/model.keras --split=test`.

Prints accuracy against average multiply-adds, as comma-separated values, and on standard error what
the threshold that was calibrated on the validation split gives.
"""

import csv
import sys

from absl import flags

from rra_keras import cli

FLAGS = flags.FlagValues()
flags.DEFINE_string("model", None, "A run's model.keras.", required=True, flag_values=FLAGS)
flags.DEFINE_string("dataset", None, "Data set; the run's own unless given.", flag_values=FLAGS)
flags.DEFINE_string("data_dir", None, "Where named data sets are kept.", flag_values=FLAGS)
flags.DEFINE_enum(
    "split", "validation", ["validation", "test"], "Split to measure.", flag_values=FLAGS
)


def main(argv):
    """Print the curve of a split; return the exit status."""
    cli.parse(FLAGS, argv)
    args = FLAGS
    import numpy as np

    from export import early_stop, flatbuffer, inference, tflite, trained
    from export.reference import keras_reference
    from rra_keras.data import pipeline
    from rra_keras.measures.calibration import fit_temperature, probabilities

    with cli.bad_input_exits():
        run, source = trained.open_run(args.model, args.dataset, args.data_dir)
        model = trained.load_model(args.model, run.class_names)
        if model.looks != 1:
            raise ValueError(
                "Invalid value for `--model`. Expected one of one look. "
                f"Received: looks={model.looks}"
            )
    signatures = inference.Signatures(inference.rebuild(model, "gather"))
    content = tflite.convert(signatures, ["fp32"])["fp32"]
    multiply_adds = flatbuffer.multiply_adds(flatbuffer.read(content))

    def batches_of(split):
        return pipeline.evaluation_batches(split, model.image_size, 16, model.num_classes)

    def said(name):
        reference = keras_reference(model, [source.splits[name]], batches_of)
        seen = reference.expected
        refined = seen.get("refined", np.zeros(len(reference.labels)))
        return seen["glance_logits"], seen["logits"], reference.labels, refined

    def curve(glance, logits, labels, refined):
        shares = probabilities(glance, temperature)
        costs = early_stop.costs(multiply_adds, refined)
        return early_stop.curve(shares, logits, labels, multiply_adds["glance"], costs)

    validation = said("validation")
    temperature = fit_temperature(validation[0], validation[2])
    calibrated = curve(*validation)
    measured = calibrated if args.split == "validation" else curve(*said(args.split))
    table = csv.DictWriter(sys.stdout, measured, lineterminator="\n")
    table.writeheader()
    table.writerows(early_stop.thin(measured))
    point = early_stop.point_at(measured, early_stop.calibrate(calibrated))
    whole = measured["multiply_adds"][-1]
    print(
        f"{args.split}: from a confidence of {point['confidence']:.3f} on, the glance answers for "
        f"{point['share']:.1%}: accuracy {point['accuracy']:.1%} (full "
        f"{measured['accuracy'][-1]:.1%}) at {point['multiply_adds'] / whole:.1%} of "
        f"{whole / 1e6:,.0f} M multiply-adds",
        file=sys.stderr,
    )
    return 0


if __name__ == "__main__":
    cli.run(main)
