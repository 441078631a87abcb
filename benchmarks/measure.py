"""Train one row of a table: `python benchmarks/measure.py --data=synthetic_birds --row=edge`."""

import os
import platform
import shutil
import sys

from absl import app, flags
from rows import ROWS
from tables import RESULTS, put

# Options of `Config`, and arguments of the model, by the name of the data. Folders are given.
DATA = {
    "synthetic_birds": ({"dataset": "synthetic_birds"}, {}),
    "birds_far": ({"dataset": "synthetic_birds/far"}, {"image_size": 1344}),
    "birds_near": ({"dataset": "synthetic_birds/near"}, {}),
    "aircraft25": ({"group_regex": r"^(.*)_\d+"}, {}),  # whole airlines are held out
    "grocery": ({}, {}),
    "signs": ({}, {"image_size": 896}),
}
_DATA = flags.DEFINE_enum("data", None, list(DATA), "Data.", required=True)
_PATH = flags.DEFINE_string("path", None, "Folder of aircraft25, grocery or signs.")
_ROW = flags.DEFINE_enum("row", None, list(ROWS), "Row.", required=True)
_SEED = flags.DEFINE_integer("seed", 0, "Seed.", lower_bound=0)
_HELD_OUT = flags.DEFINE_integer(
    "held_out", 0, "Classes to keep out, for unknown.py; no row is written then.", lower_bound=0
)


def main(_):
    """Train, put the row into `results/DATA-cpu-float32.csv`, and keep the test predictions."""
    from unknown import without

    from rra_keras import data, training
    from rra_keras.training.config import configure

    options, arguments = (dict(given) for given in DATA[_DATA.value])
    if "dataset" not in options:
        if not _PATH.value:
            sys.exit(f"error: --path: expected the folder of {_DATA.value}, received none")
        options["dataset"] = f"folder:{_PATH.value}"
    arguments |= ROWS[_ROW.value]
    config = configure("edge", arguments, seed=_SEED.value, **options)
    name, source = f"{_DATA.value}-{_ROW.value}-{_SEED.value}", None
    if _HELD_OUT.value:
        name = f"{_DATA.value}-{_ROW.value}-without{_HELD_OUT.value}-{_SEED.value}"
        source = data.load(config.dataset, group_regex=config.group_regex, seed=config.seed)
        source = without(source, _HELD_OUT.value)
    prepared = training.prepare(config, f"runs/benchmarks/{name}", resume=True, source=source)
    model = training.build(config, prepared, training.objects_of(config, prepared))
    metrics = training.train(config, prepared, model)
    print(training.report_line(metrics, prepared.run))
    if _HELD_OUT.value:
        return

    shutil.copy(prepared.run.path("test.csv"), RESULTS / f"{name}.csv")
    values = metrics | {
        "row": _ROW.value,
        "seed": _SEED.value,
        "cores": len(os.sched_getaffinity(0)),
        "machine": platform.machine(),
        "precision": "float32",
        "tensorflow": metrics["versions"]["tensorflow"],
        "keras": metrics["versions"]["keras"],
    }
    put(RESULTS / f"{_DATA.value}-cpu-float32.csv", values)


if __name__ == "__main__":
    app.run(main)
