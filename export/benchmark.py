"""Compare files on this machine in one run: `python -m export.benchmark --run=RUN`.

- the run's own exported files (`--export`, RUN/export unless given), piece by piece on photos of
  its validation split, as devices run them, each photo with as many fixations as it needs;
- the same files in one call;
- the plain backbone at each `--plain_size`, as TFLite files of the same precisions;
- the naive export of the model as it is, with TensorFlow's own crop. Its Flex op is counted, not
  timed: neither ai-edge-litert nor TensorFlow's own package (2.21) has an interpreter that runs it.

Weights do not change how long a file takes: the plain backbone's are random.
"""

import collections.abc
import dataclasses
import itertools
import pathlib
import tempfile
import time

import numpy as np
from absl import flags

from rra_keras import cli

from . import output_folder

FLAGS = flags.FlagValues()
cli.define_run(FLAGS)
flags.DEFINE_string(
    "export", None, "Folder of its export; RUN/export unless given.", flag_values=FLAGS
)
flags.DEFINE_multi_integer(
    "plain_size",
    [224],
    "Side of the plain backbone's image; may be given several times.",
    lower_bound=32,
    flag_values=FLAGS,
)
flags.DEFINE_integer(
    "runs",
    50,
    "Runs of each file, in turn, each on another photo.",
    lower_bound=1,
    flag_values=FLAGS,
)
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
        multiply_adds: of an image on average; `None` where it is not counted.
        run: a function that classifies an image; `None` where nothing runs it.
    """

    name: str
    bytes: int
    operators: int
    flex_operators: int
    multiply_adds: float | None
    run: collections.abc.Callable | None


def main(argv):
    """Time the files in turn and print the table; return the exit status."""
    arguments = cli.parse(FLAGS, argv, __doc__)
    args = FLAGS
    with cli.bad_input_exits():
        from rra_keras.runs import files as tables

        run, _ = cli.open_run(FLAGS, arguments)
        files = output_folder.exported_files(args.export or run.path("export"))
        source, model = run.load_data(), run.load_model()
    photos = photos_of(source.splits["validation"], model.image_size, args.runs)
    with tempfile.TemporaryDirectory() as scratch:
        contenders = [
            contender for file in files for contender in exported_file(file, args.threads, photos)
        ]
        for size in args.plain_size:
            contenders += plain_backbone(model, size, args.threads, pathlib.Path(scratch), files)
        seconds = time_in_turn([contender.run for contender in contenders], args.runs)
        contenders.append(naive_export(model))
    rows = [row(*each) for each in itertools.zip_longest(contenders, seconds)]
    report(rows, args.threads)
    if args.csv:
        tables.write_text(args.csv, tables.table(rows))
    return 0


def photos_of(split, size, count):
    """Return photos `(size, size, 3)` of a split, at most `count`."""
    from rra_keras.data import pipeline
    from rra_keras.data.splits import by_turns

    chosen = split.subset(by_turns(split.labels, count))
    batches = pipeline.evaluation_batches(chosen, size, 16)
    return [image for images, _ in batches.as_numpy_iterator() for image in images]


def exported_file(file, threads, photos):
    """Return a file that `rra export` wrote, piece by piece and in one call."""
    from .classify import Classifier
    from .convert import costs, flatbuffer

    contents = flatbuffer.read(file.read_bytes())
    counts = flatbuffer.histogram(contents)["full"]
    multiply_adds = flatbuffer.multiply_adds(contents)
    flex = sum(count for operator, count in counts.items() if operator.startswith("custom"))
    about = (file.stat().st_size, sum(counts.values()), flex)
    classifier = Classifier(file, threads)
    turns, others = itertools.cycle(photos), itertools.cycle(photos)
    whole = Contender(
        f"{file.stem} at once" if "read" in multiply_adds else file.stem,
        *about,
        multiply_adds["full"],
        lambda: classifier.run("full", images=next(others)[None]),
    )
    if "read" not in multiply_adds:
        return [whole]
    seen = [classifier.see(photo) for photo in photos]
    refinements = [each["refinements"].sum() for each in seen]
    reads = [len(each["read_boxes"]) for each in seen]
    spent = float(costs.of_photos(multiply_adds, refinements, reads).mean())
    return [Contender(file.stem, *about, spent, lambda: classifier.see(next(turns))), whole]


def plain_backbone(model, size, threads, folder, files):
    """Return only the backbone, in the precisions of `files`."""
    from rra_keras import RRAClassifier
    from rra_keras.models.arguments import revived

    from .convert import inference, tflite
    from .write import metadata

    arguments = model.get_config()
    names = ("backbone", "num_classes", "train_from", "preprocess")
    arguments = revived({name: arguments[name] for name in names if name in arguments})
    backbone = RRAClassifier(**arguments, localizer=None, image_size=size, weights="random")
    precisions = [file.stem.removeprefix("model_") for file in files]
    signatures = inference.Signatures(inference.rebuild(backbone, "gather"))
    contenders = []
    for precision, content in tflite.convert(signatures, precisions, [_image(size)] * 2).items():
        file = folder / f"plain_{size}_{precision}.tflite"
        labels = [str(index) for index in range(model.num_classes)]
        file.write_bytes(tflite.attach(content, labels, metadata(backbone)))
        contenders += exported_file(file, threads, [_image(size)[0]])
    return contenders


def naive_export(model):
    """Return the model as it is, converted with whatever TensorFlow ops it takes."""
    import tensorflow as tf

    from .convert import flatbuffer, inference, saved_model

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
    """Print the table, and each file's latency beside what its multiply-adds let expect.

    It is compared with the plain backbone of its precision whose multiply-adds are nearest.
    """
    print(
        f"{'file':20} {'MB':>6} {'ops':>5} {'Flex':>5} {'M mult-adds':>11} {'ms (p90)':>15}"
        "  ÷ plain's: time, multiply-adds, of the two"
    )
    for each in rows:
        cost = "" if each["multiply_adds"] is None else f"{each['multiply_adds'] / 1e6:,.0f}"
        latency = "does not run"
        if each["median_ms"]:
            latency = f"{each['median_ms']:.1f} ({each['p90_ms']:.1f})"
        line = f"{each['name']:20} {each['bytes'] / 1e6:6.2f} {each['operators']:5} "
        line += f"{each['flex_operators']:5} {cost:>11} {latency:>15}"
        if (
            each["median_ms"]
            and not each["name"].startswith("plain")
            and (near := _near(each, rows))
        ):
            times = each["median_ms"] / near["median_ms"]
            costs = each["multiply_adds"] / near["multiply_adds"]
            line += f"  {near['name']}: {times:.2f}, {costs:.2f}, {times / costs:.2f}"
        print(line)
    print(f"median of single images in turn, {threads} thread{'s' * (threads > 1)}, XNNPACK")


def _near(own, rows):
    """Return the plain backbone's row of another one's precision and about its cost."""
    precision = own["name"].split()[0].rpartition("_")[2]
    plain = [row for row in rows if row["name"].startswith("plain") and precision in row["name"]]
    if own in plain or not plain or own["multiply_adds"] is None:
        return None
    return min(plain, key=lambda row: abs(row["multiply_adds"] - own["multiply_adds"]))


def _image(size):
    return np.random.default_rng(0).uniform(0, 255, (1, size, size, 3)).astype("float32")


if __name__ == "__main__":
    from .classify import hush_native_log

    hush_native_log()
    cli.run(main)
