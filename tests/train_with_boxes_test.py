"""From a folder to a model that was shown where to look, as a newcomer goes."""

import json

import numpy as np
import pytest
from conftest import SMALL_TRAINING, command, last_line, tensorflow_only

import train
from rra_keras import boxes, evaluate
from rra_keras.runs import Run, files

pytestmark = tensorflow_only("commands, the same whatever Keras runs on")
FLAGS = [*SMALL_TRAINING, "--epochs=1", "--batch_size=4"]


def test_two_dozen_boxes_teach_a_model(photos, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table = tmp_path / "boxes.csv"
    # What the page would write: some boxes, and one photo without an object.
    boxes.FLAGS(["boxes", f"--dataset=folder:{photos}", f"--out={table}", "--photos=6"])
    annotations, dataset = boxes.prepare()
    assert dataset == f"folder:{photos}"
    for name in annotations.names[:-1]:
        annotations.put(name, [[0.25, 0.25, 0.75, 0.75]])
    annotations.put(annotations.names[-1], [])

    where = [f"--dataset=folder:{photos}", f"--run_dir={tmp_path / 'run'}"]
    status, printed, errors = command(train.main, *where, f"--boxes={table}", *FLAGS)
    assert status == 0, errors
    assert "Boxes of 5 of 22 training photos are given." in printed
    run = Run(tmp_path / "run")
    objects = json.loads(run.path("objects.json").read_text())
    assert objects["hypothesis"] == "given"
    given = files.read_table(run.path("boxes.csv"))
    assert {row["file"] for row in given} == set(annotations.names[:-1])
    found = {row["file"]: row for row in files.read_table(run.path("objects.csv"))}
    assert len(found) == 22
    for row in given:
        edges = [float(found[row["file"]][edge]) for edge in ("y0", "x0", "y1", "x1")]
        np.testing.assert_allclose(edges, [0.25, 0.25, 0.75, 0.75])
        assert float(found[row["file"]]["confidence"]) == 1.0

    # A second page suggests what the model would take, and what was drawn stays.
    boxes.FLAGS.unparse_flags()
    boxes.FLAGS(["boxes", f"--run={run}", f"--out={table}", "--photos=4"])
    annotations, _ = boxes.prepare()
    assert len(annotations.names) >= 6
    assert len(annotations.suggested[0]) == 4
    assert sum(map(bool, annotations.drawn.values())) == 5

    status, printed, errors = command(evaluate.main, f"--run={run}")
    assert (status, errors.count("error")) == (0, 0), errors
    assert json.loads(last_line(printed))["images"] == 5


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--boxes=nowhere.json"], "not found"),
        (["--boxes=EMPTY"], "without any"),
        (["--boxes=dataset"], "bring no boxes"),
        (["--boxes=EMPTY", "--localizer=none"], "None for a model without a localizer"),
        (["--boxes=EMPTY", "--init_from=run"], "None with init_from"),
    ],
)
def test_boxes_that_cannot_be_used_are_one_line_before_the_work(photos, tmp_path, flags, said):
    empty = tmp_path / "empty.csv"
    empty.write_text("file,y0,x0,y1,x1\n")
    flags = [flag.replace("EMPTY", str(empty)) for flag in flags]
    where = [f"--dataset=folder:{photos}", f"--run_dir={tmp_path / 'run'}"]
    status, _, errors = command(train.main, *where, *FLAGS, *flags)
    assert status == 2
    assert said in last_line(errors)
    assert len(errors.strip().splitlines()) == 1
    assert not (tmp_path / "run").exists()
