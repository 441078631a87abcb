"""Measure a trained run on a split: `rra evaluate RUN --split=test`.

Prints accuracies, calibration and the threshold of "none of these" as JSON.
"""

import json
import sys

import numpy as np
from absl import flags

from rra_keras import answers, cli
from rra_keras.measures.doubts import doubt_rows, doubted_labels
from rra_keras.measures.unknown import is_known

_KEPT = (0.9, 0.95, 0.98, 0.99)  # shares of the photos, for which thresholds are printed

FLAGS = flags.FlagValues()
cli.define_run(FLAGS)
cli.define_known_from(FLAGS)
_DATASET = flags.DEFINE_string(
    "dataset", None, "Data set; the run's own unless given.", flag_values=FLAGS
)
_DATA_DIR = flags.DEFINE_string(
    "data_dir", None, "Where named data sets are kept.", flag_values=FLAGS
)
_SPLIT = flags.DEFINE_enum(
    "split", "test", ["train", "validation", "test"], "Split to measure.", flag_values=FLAGS
)
_CSV = flags.DEFINE_string(
    "csv",
    None,
    "File for what was said of each image; -: print that, and the figures on standard error.",
    flag_values=FLAGS,
)
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
    arguments = cli.parse(FLAGS, argv, __doc__)
    from rra_keras.runs import files

    with cli.bad_input_exits():
        cli.check_output("csv", None if _CSV.value == "-" else _CSV.value)
        cli.check_output("label_issues", _LABEL_ISSUES.value)
        run, _ = cli.open_run(FLAGS, arguments)
        model = run.load_model()
        if _LABEL_ISSUES.value and model.answer == "any":
            raise ValueError(
                "Invalid value for `--label_issues`. Expected a run with one label a photo. "
                f"Received: {run}, with several"
            )
        if FLAGS.known_from is not None:
            model.calibration.known_from = FLAGS.known_from
        results, split, seen = measure(
            run,
            model,
            _SPLIT.value,
            _DATASET.value,
            _DATA_DIR.value,
            _BATCH_SIZE.value,
            verbose=_CSV.value != "-",
        )
    calibration, answer = model.calibration, answers.of(model.answer)
    if _CSV.value:
        about = (seen["logits"], seen["score"], run.class_names, seen["labels"], split.names)
        rows = answer.rows(calibration, *about)
        cli.write_table(_CSV.value, rows)
    if _LABEL_ISSUES.value:
        shares = answer.probabilities(seen["logits"], calibration.temperature)
        doubted = doubted_labels(seen["labels"], shares)
        rows = doubt_rows(doubted, seen["labels"], shares, run.class_names, split.names)
        files.write_text(_LABEL_ISSUES.value, files.table(*rows))
    print(json.dumps(results), file=sys.stderr if _CSV.value == "-" else sys.stdout)
    return 0


def measure(run, model, split="test", dataset=None, data_dir=None, batch_size=16, verbose=False):
    """Run a model over a split, and say what it is worth there.

    Args:
        run: the `Run` that it is of.
        model: the classifier.
        split: name of the split.
        dataset: other data with the same classes; the run's own unless given.
        data_dir: where named data sets are kept; as in training unless given.
        batch_size: photos at a time.
        verbose: whether to say how far it is.

    Returns:
        A dict of figures; the `Split`; and a dict of `logits` `(N, C)`, `score` `(N,)` and `labels`
        `(N,)`.
    """
    from rra_keras.runs import collect

    source = run.load_data(dataset, data_dir, split)
    cli.tell(source.changes)
    part = source.splits[split]
    names = ("logits", "score", *(["reads"] if model.attention else []))
    seen, labels = collect(model, part, names, batch_size, verbose)
    logits, scores, calibration = seen["logits"], seen["score"][:, 0], model.calibration
    results = {"dataset": dataset or run.config["dataset"], "split": split, "images": part.size}
    results |= answers.of(model.answer).figures(calibration, logits, labels)
    results["known"] = float(is_known(scores, calibration.known_from).mean())
    results["known_from"] = calibration.known_from
    results["known_from_to_keep"] = {
        f"{share:.0%}": float(np.quantile(scores, 1 - share)) for share in _KEPT
    }
    if model.attention:
        results["reads"] = float(np.mean(seen["reads"]))
    return results, part, {"logits": logits, "score": scores, "labels": labels}


if __name__ == "__main__":
    cli.run(main)
