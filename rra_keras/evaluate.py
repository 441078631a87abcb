"""Measure a trained run on a split: `python -m rra_keras.evaluate --run=RUN --split=test`."""

import json

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
    import numpy as np

    from rra_keras.measures.calibration import calibration_errors, probabilities
    from rra_keras.measures.doubts import doubt_rows, doubted_labels
    from rra_keras.measures.predictions import accuracies, prediction_rows
    from rra_keras.measures.unknown import is_known
    from rra_keras.runs import Run, collect, files

    with cli.bad_input_exits():
        cli.check_output("csv", _CSV.value)
        cli.check_output("label_issues", _LABEL_ISSUES.value)
        run = Run.open(_RUN.value)
        source = run.load_data(_DATASET.value, _DATA_DIR.value, _SPLIT.value)
        split = source.splits[_SPLIT.value]
        cli.tell(source.changes)
        model = run.load_model()
    names = ("logits", "score", *(["reads"] if model.attention else []))
    seen, labels = collect(model, split, names, _BATCH_SIZE.value)
    logits, scores, calibration = seen["logits"], seen["score"][:, 0], model.calibration
    about = (source.class_names, calibration.temperature, calibration.known_from)
    if _CSV.value:
        rows = prediction_rows(logits, scores, *about, labels, split.names)
        files.write_text(_CSV.value, files.table(rows))
    if _LABEL_ISSUES.value:
        shares = probabilities(logits, calibration.temperature)
        doubted = doubted_labels(labels, shares)
        rows = doubt_rows(doubted, labels, shares, source.class_names, split.names)
        files.write_text(_LABEL_ISSUES.value, files.table(*rows))
    dataset = _DATASET.value or run.config["dataset"]
    results = {"dataset": dataset, "split": _SPLIT.value, "images": split.size}
    results |= accuracies(logits, labels)
    results |= calibration_errors(logits, labels, calibration.temperature)
    results["known"] = float(is_known(scores, calibration.known_from).mean())
    if model.attention:
        results["reads"] = float(np.mean(seen["reads"]))
    print(json.dumps(results))
    return 0


if __name__ == "__main__":
    cli.run(main)
