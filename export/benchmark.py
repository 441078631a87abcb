"""Compare files on this machine in one run: `python -m export.benchmark --model=RUN/model.keras`.

- the run's own exported files (`--export`, RUN/export unless given);
- the plain backbone at `--plain_size` pixels, as TFLite files of the same precisions;
- the naive export of the model as it is, with TensorFlow's own crop. Its Flex op is counted, not
  timed: neither ai-edge-litert nor TensorFlow's own package (2.21) has an interpreter that runs it.

Weights do not change how long a file takes: the plain backbone's are random.
"""

import csv
import dataclasses
import itertools
import pathlib
import tempfile
import time

import numpy as np
from absl import flags

from rra_keras import cli

FLAGS = flags.FlagValues()
flags.DEFINE_string(
    "model", None, "A run's model.keras, exported before.", required=True, flag_values=FLAGS
)
flags.DEFINE_string(
    "export", None, "Folder of its export; RUN/export unless given.", flag_values=FLAGS
)
flags.DEFINE_integer(
    "plain_size",
    224,
    "Side of the plain backbone's image.",
    lower_bound=32,
    flag_values=FLAGS,
)
flags.DEFINE_integer("runs", 50, "Runs of each file, in turn.", lower_bound=1, flag_values=FLAGS)
flags.DEFINE_integer("threads", 1, "Threads of the CPU.", lower_bound=1, flag_values=FLAGS)
flags.DEFINE_string("csv", None, "File for the table.", flag_values=FLAGS)


@dataclasses.dataclass
class Contender:
    """A file in the comparison.

    Attributes:
        name: what it is.
        bytes: its size.
        operators: operators of a whole classification.
        flex_operators: those that need TensorFlow.
        multiply_adds: of an image; `None` where it is not counted.
        run: a function that classifies an image of its size; `None` where nothing runs it.
    """

    name: str
    bytes: int
    operators: int
    flex_operators: int
    multiply_adds: int | None
    run: object


def main(argv):
    """Time the files in turn and print the table; return the exit status."""
    cli.parse(FLAGS, argv)
    args = FLAGS
    path = pathlib.Path(args.model)
    folder = pathlib.Path(args.export or path.parent / "export")
    with cli.bad_input_exits():
        files = sorted(folder.glob("model_*.tflite"))
        if not files:
            raise ValueError(
                "Invalid value for `--export`. Expected a folder that `python -m export` wrote. "
                f"Received: {folder}"
            )
        from export import trained

        model = trained.load_model(path, trained.labels(path))
    with tempfile.TemporaryDirectory() as scratch:
        contenders = [exported_file(file, args.threads) for file in files]
        contenders += plain_backbone(
            model, args.plain_size, args.threads, pathlib.Path(scratch), files
        )
        seconds = time_in_turn([contender.run for contender in contenders], args.runs)
        contenders.append(naive_export(model))
    rows = [row(*each) for each in itertools.zip_longest(contenders, seconds)]
    report(rows, args.threads)
    if args.csv:
        with open(args.csv, "w", newline="") as file:
            table = csv.DictWriter(file, rows[0], lineterminator="\n")
            table.writeheader()
            table.writerows(rows)
    return 0


def exported_file(file, threads, name=None, signature="full"):
    """Return a file that `python -m export` wrote, as a contender."""
    from export import flatbuffer
    from export.classify import Classifier

    contents = flatbuffer.read(file.read_bytes())
    counts = flatbuffer.histogram(contents)[signature]
    classifier = Classifier(file, threads)
    image = _image(classifier.image_size)
    return Contender(
        name or file.stem,
        file.stat().st_size,
        sum(counts.values()),
        sum(count for operator, count in counts.items() if operator.startswith("custom")),
        flatbuffer.multiply_adds(contents)[signature],
        lambda: classifier.run(signature, images=image),
    )


def plain_backbone(model, size, threads, folder, files):
    """Return the backbone alone, in the precisions of `files`."""
    from export import inference, tflite

    config = {**model.get_config(), "looks": 0, "image_size": size, "glance_size": None}
    config |= {"projection": (), "shared_encoder": True, "crop_backbone": None}
    backbone = model.from_config(config)
    precisions = [file.stem.removeprefix("model_") for file in files]
    signatures = inference.Signatures(inference.rebuild(backbone, "gather"))
    contenders = []
    for precision, content in tflite.convert(signatures, precisions, [_image(size)] * 2).items():
        file = folder / f"plain_{precision}.tflite"
        labels = [str(index) for index in range(model.num_classes)]
        metadata = {"image_size": size, "confidence": None}
        file.write_bytes(tflite.attach(content, labels, metadata))
        contenders.append(exported_file(file, threads))
    return contenders


def naive_export(model):
    """Return the model as it is, converted with whatever TensorFlow ops it takes."""
    import tensorflow as tf

    from export import flatbuffer, inference, saved_model

    signatures = inference.Signatures(inference.rebuild(model, "tf_image"))
    with tempfile.TemporaryDirectory() as folder:
        saved_model.write(signatures, folder, {"full": "full"}, batch_size=1)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=["full"])
        converter.target_spec.supported_ops = [
            tf.lite.OpsSet.TFLITE_BUILTINS,
            tf.lite.OpsSet.SELECT_TF_OPS,
        ]
        content = converter.convert()
    counts = flatbuffer.histogram(flatbuffer.read(content))["full"]
    flex = sum(count for operator, count in counts.items() if operator.startswith("custom"))
    return Contender("naive_fp32", len(content), sum(counts.values()), flex, None, None)


def time_in_turn(functions, runs):
    """Time each function `runs` times, one after the other, so that all meet the same load."""
    seconds = np.zeros((len(functions), runs))
    for run in range(-3, runs):  # the first ones warm up
        for index, function in enumerate(functions):
            start = time.perf_counter()
            function()
            if run >= 0:
                seconds[index, run] = time.perf_counter() - start
    return seconds


def row(contender, seconds):
    """Return a contender's line of the table; `seconds` `(runs,)`, `None` where it cannot run."""
    fields = dataclasses.asdict(dataclasses.replace(contender, run=None))
    del fields["run"]
    if seconds is None:
        return {**fields, "median_ms": None, "p90_ms": None}
    median, p90 = np.quantile(1e3 * seconds, (0.5, 0.9))
    return {**fields, "median_ms": round(float(median), 2), "p90_ms": round(float(p90), 2)}


def report(rows, threads):
    """Print the table, and each file's latency beside what its multiply-adds let expect."""
    own = {row["name"]: row for row in rows}
    print(
        f"{'file':14} {'MB':>6} {'ops':>5} {'Flex':>5} {'M mult-adds':>11} {'ms (p90)':>15}"
        "  ÷ plain's: time, multiply-adds, of the two"
    )
    for each in rows:
        cost = "" if each["multiply_adds"] is None else f"{each['multiply_adds'] / 1e6:,.0f}"
        latency = "does not run"
        if each["median_ms"]:
            latency = f"{each['median_ms']:.1f} ({each['p90_ms']:.1f})"
        line = f"{each['name']:14} {each['bytes'] / 1e6:6.2f} {each['operators']:5} "
        line += f"{each['flex_operators']:5} {cost:>11} {latency:>15}"
        other = own.get(each["name"].replace("model_", "plain_").replace("naive_", "plain_"))
        if other is not None and other is not each and each["median_ms"]:
            times = each["median_ms"] / other["median_ms"]
            line += f"  {times:.2f}"
            if each["multiply_adds"]:
                costs = each["multiply_adds"] / other["multiply_adds"]
                line += f", {costs:.2f}, {times / costs:.2f}"
        print(line)
    print(f"median of single images in turn, {threads} thread{'s' * (threads > 1)}, XNNPACK")


def _image(size):
    return np.random.default_rng(0).uniform(0, 255, (1, size, size, 3)).astype("float32")


if __name__ == "__main__":
    from export.classify import hush_native_log

    hush_native_log()
    cli.run(main)
