"""When a glance is enough: `python -m export.glance --model=RUN/model.keras --split=test`.

Prints accuracy against average multiply-adds, as comma-separated values, and on standard error what
the threshold that was calibrated on the validation split gives.
"""

import csv
import sys

import numpy as np
from absl import app, flags


def curve(glance_logits, full_logits, labels, glance_cost, full_cost):
    """Return what every threshold of the glance's confidence gives.

    The glance answers for the images whose highest probability reaches the threshold; the others
    cost as much as the whole model, which goes on from the glance.

    Args:
        glance_logits: `(N, C)`.
        full_logits: `(N, C)`.
        labels: `(N,)` integers.
        glance_cost: multiply-adds of a glance.
        full_cost: multiply-adds of glance and looks.

    Returns:
        A dict of arrays `(K,)`, by rising cost: `confidence`, the threshold (0: the glance always
        answers; 2: never); `share` of images it answers for, `accuracy` and `multiply_adds` an
        image on average.
    """
    confidences = probabilities(glance_logits).max(axis=-1)  # (N,)
    thresholds = np.concatenate([[0.0], np.unique(confidences)[1:], [2.0]])
    answered = confidences >= thresholds[:, None]  # (K, N)
    right = [np.argmax(logits, axis=-1) == labels for logits in (glance_logits, full_logits)]
    share = answered.mean(axis=1)
    return {
        "confidence": thresholds,
        "share": share,
        "accuracy": np.where(answered, *right).mean(axis=1),
        "multiply_adds": full_cost - share * (full_cost - glance_cost),
    }


def calibrate(points, loss=0.003):
    """Return the index of the cheapest threshold that loses at most `loss` of the full accuracy.

    Args:
        points: what `curve` returned.
        loss: in [0, 1].
    """
    enough = points["accuracy"] >= points["accuracy"][-1] - loss - 1e-9
    return int(np.argmax(enough))


def probabilities(logits):
    """Return the softmax of logits `(N, C)`."""
    shares = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return shares / shares.sum(axis=-1, keepdims=True)


def thin(points, count=21):
    """Return about `count` of a curve's points, evenly spread over the images answered for."""
    kept = np.unique(np.linspace(0, len(points["share"]) - 1, count).round().astype(int))
    return [{name: float(values[index]) for name, values in points.items()} for index in kept]


def costs(content):
    """Return the multiply-adds of a TFLite file's glance, and of glance and looks."""
    from export import flatbuffer

    counted = flatbuffer.multiply_adds(flatbuffer.read(content))
    return counted["glance"], counted["glance"] + counted["focus"]


def main(_):
    from export import inference, tflite, trained, verify
    from rra_keras import cli
    from rra_keras.data import pipeline

    args = flags.FLAGS
    with cli.bad_input_exits():
        run, source = trained.open_run(args.model, args.dataset, args.data_dir)
        model = trained.load_model(args.model, run.class_names)
        if not model.looks:
            raise ValueError(
                "Invalid value for `--model`. Expected one that looks. Received: looks=0"
            )
    signatures = inference.Signatures(inference.rebuild(model, "gather"))
    cost = costs(tflite.convert(signatures, ["fp32"])["fp32"])

    def points(name):
        images = verify.look_at(
            model,
            [source.splits[name]],
            lambda split: pipeline.evaluation_batches(
                split, model.image_size, 16, model.num_classes
            ),
        )
        streams = (images.expected[stream] for stream in ("glance_logits", "logits"))
        return curve(*streams, images.labels, *cost)

    calibrated = points("validation")
    confidence = calibrated["confidence"][calibrate(calibrated)]
    measured = calibrated if args.split == "validation" else points(args.split)
    table = csv.DictWriter(sys.stdout, measured, lineterminator="\n")
    table.writeheader()
    table.writerows(thin(measured))
    at = min(np.searchsorted(measured["confidence"], confidence), len(measured["share"]) - 1)
    print(
        f"{args.split}: from a confidence of {confidence:.3f} on the glance answers for "
        f"{measured['share'][at]:.1%}: accuracy {measured['accuracy'][at]:.1%} (full "
        f"{measured['accuracy'][-1]:.1%}) at {measured['multiply_adds'][at] / cost[1]:.1%} of "
        f"{cost[1] / 1e6:,.0f} M multiply-adds",
        file=sys.stderr,
    )


if __name__ == "__main__":
    from rra_keras import cli

    flags.DEFINE_string("model", None, "A run's model.keras.", required=True)
    flags.DEFINE_string("dataset", None, "Data set; the run's own unless given.")
    flags.DEFINE_string("data_dir", None, "Where named data sets are kept.")
    flags.DEFINE_enum("split", "validation", ["validation", "test"], "Split to measure.")
    app.run(main, flags_parser=cli.parse_flags)
