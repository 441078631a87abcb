"""A run in Python: `rra_keras.train`, and what its run says."""

import dataclasses
import sys

import numpy as np
import pytest
from conftest import command

import rra_keras
from rra_keras import cli, evaluate
from rra_keras.runs import Run
from rra_keras.runs.run import command_line

SMALL = {
    "backbone": "tiny",
    "weights": "random",
    "localizer": None,
    "image_size": 32,
    "epochs": 1,
    "batch_size": 4,
}


@pytest.fixture(scope="module")
def run(photos, tmp_path_factory):
    """A run of the plain backbone."""
    return rra_keras.train(str(photos), tmp_path_factory.mktemp("runs") / "plain", **SMALL)


def test_training_returns_a_run_that_can_be_opened(run):
    again = rra_keras.TrainedRun.open(run.model_path)
    assert again.directory == run.directory
    assert again.metrics == run.metrics
    images = np.zeros((1, 32, 32, 3), "float32")
    np.testing.assert_allclose(
        again.model.predict(images, verbose=0), run.model.predict(images, verbose=0), atol=1e-5
    )


def test_a_finished_run_is_returned_as_it_is(run, photos, capsys):
    before = run.model_path.stat().st_mtime_ns
    again = rra_keras.train(str(photos), run.directory, resume=True, **SMALL)
    assert "nothing to resume" in capsys.readouterr().out
    assert (again.metrics, again.model_path.stat().st_mtime_ns) == (run.metrics, before)
    with pytest.raises(ValueError, match="which holds a run"):
        rra_keras.train(str(photos), run.directory, **SMALL)
    with pytest.raises(ValueError, match="`imag_size`"):
        rra_keras.train(str(photos), run.directory, imag_size=32)


def test_it_says_what_is_on_photos(run, photos, tmp_path):
    red = photos / "red"
    answers = run.predict(red)
    assert [row["file"] for row in answers] == [str(path) for path in sorted(red.iterdir())]
    assert {row["predicted"] for row in answers} <= set(run.class_names)
    (tmp_path / "no.jpg").write_bytes(b"none")
    one, broken = run.predict([red / "g0_0.png", tmp_path / "no.jpg"])
    assert one == answers[0]
    assert list(broken) == ["file", "error"]
    assert str(tmp_path / "no.jpg") in broken["error"]


def test_it_is_measured_as_by_the_command(run):
    figures = run.evaluate()
    assert figures["accuracy"] == run.metrics["test_accuracy"]
    status, printed, errors = command(evaluate.main, run.model_path, "--csv=-")
    assert status == 0
    assert len(printed.splitlines()) == 1 + figures["images"]
    assert f'"accuracy": {figures["accuracy"]}' in errors


def test_the_threshold_of_none_of_these_can_be_moved(run):
    at = run.evaluate()["known_from_to_keep"]
    assert at["99%"] <= at["90%"]
    _, printed, _ = command(evaluate.main, run, "--known_from=1e3")
    assert '"known": 0.0' in printed
    _, printed, _ = command(evaluate.main, run, "--known_from=-1e3")
    assert '"known": 1.0' in printed


@dataclasses.dataclass
class Flags:
    run: str | None = None


def test_a_run_is_named_by_flag_or_first(run):
    for named, arguments in (
        (str(run), ["a", "b"]),
        (None, [str(run), "a", "b"]),
        (None, [str(run.model_path), "a", "b"]),
    ):
        opened, rest = cli.open_run(Flags(named), arguments, more="photos")
        assert isinstance(opened, Run)
        assert (opened.directory, rest) == (run.directory, ["a", "b"])


@pytest.mark.parametrize(
    ("named", "arguments", "more", "message"),
    [
        (None, [], None, "Expected a run, as --run=RUN or as the first argument. Received none"),
        ("RUN", ["a"], None, "Expected no further arguments. Received: a"),
        ("RUN", [], "photos", "Expected photos. Received none"),
        (None, ["nowhere"], None, "Received: nowhere, without config.json, labels.txt, mod"),
    ],
)
def test_a_run_that_is_not_there(run, named, arguments, more, message):
    with pytest.raises(ValueError, match=message):
        cli.open_run(Flags(named and str(run)), arguments, more)


def test_a_run_keeps_the_command_as_it_is_typed(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["rra train", "--dataset=my photos"])
    assert command_line() == "rra train '--dataset=my photos'"
    monkeypatch.setattr(sys, "argv", ["train.py", "--seed=1"])
    assert command_line() == "python train.py --seed=1"
