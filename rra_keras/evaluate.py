"""Measure a trained run on a split: `python -m rra_keras.evaluate --run=RUN --split=test`."""

import json
import pathlib

from absl import flags

from rra_keras import cli

FLAGS = flags.FlagValues()
_RUN = flags.DEFINE_string(
    "run", None, "Run directory that training wrote.", required=True, flag_values=FLAGS
)
_DATASET = flags.DEFINE_string(
    "dataset", None, "Data set; the run's own unless given.", flag_values=FLAGS
)
_DATA_DIR = flags.DEFINE_string(
    "data_dir", None, "Where named data sets are kept.", flag_values=FLAGS
)
_SPLIT = flags.DEFINE_enum(
    "split", "test", ["train", "validation", "test"], "Split to measure.", flag_values=FLAGS
)
_CSV = flags.DEFINE_string("csv", None, "File for what was said of each image.", flag_values=FLAGS)
_LABEL_ISSUES = flags.DEFINE_string(
    "label_issues",
    None,
    "File for the images whose label is doubted by confident learning.",
    flag_values=FLAGS,
)
_BATCH_SIZE = flags.DEFINE_integer(
    "batch_size", 16, "Images at a time.", lower_bound=1, flag_values=FLAGS
)


def main(argv):
    """Print what a run is worth on a split, as JSON; return the exit status."""
    cli.parse(FLAGS, argv)
    from rra_keras.data import pipeline
    from rra_keras.measures.calibration import calibration_errors, probabilities
    from rra_keras.measures.doubts import doubted_labels, doubts_csv
    from rra_keras.measures.predictions import accuracies, predictions_csv
    from rra_keras.measures.unknown import is_known
    from rra_keras.training.evaluation import collect
    from rra_keras.training.run import Run, replacing

    with cli.bad_input_exits():
        cli.check_output("csv", _CSV.value)
        cli.check_output("label_issues", _LABEL_ISSUES.value)
        run = Run.open(_RUN.value)
        source = run.load_data(_DATASET.value, _DATA_DIR.value)
        split = source.splits[_SPLIT.value]
        model = run.load_model()
    batches = pipeline.evaluation_batches(
        split, model.image_size, _BATCH_SIZE.value, model.num_classes
    )
    steps, names = -(-split.size // _BATCH_SIZE.value), (*model.streams, "score")
    streams, labels = collect(model, batches, steps, names)
    scores = streams.pop("score")[:, 0]
    if _CSV.value:
        table = predictions_csv(streams, labels, source.class_names, split.names)
        with replacing(pathlib.Path(_CSV.value)) as path:
            path.write_text(table, "utf-8")
    if _LABEL_ISSUES.value:
        shares = probabilities(streams["logits"], model.temperature)
        doubted = doubted_labels(labels, shares)
        table = doubts_csv(doubted, labels, shares, source.class_names, split.names)
        with replacing(pathlib.Path(_LABEL_ISSUES.value)) as path:
            path.write_text(table, "utf-8")
    dataset = _DATASET.value or run.config["dataset"]
    results = {"dataset": dataset, "split": _SPLIT.value, "images": split.size}
    results |= accuracies(streams, labels)
    results |= calibration_errors(streams["logits"], labels, model.temperature)
    results["known"] = float(is_known(scores, model.known_from).mean())
    print(json.dumps(results))
    return 0


if __name__ == "__main__":
    cli.run(main)
