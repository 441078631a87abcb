"""Stopping while objects are looked for, and going on."""

import os
import pathlib
import signal
import subprocess
import sys

import numpy as np
import pytest
from boxes_teach_test import marked
from conftest import SMALL_TRAINING, tensorflow_only

from rra_keras import find_objects
from rra_keras.discovery import search

pytestmark = tensorflow_only("processes and signals, the same whatever Keras runs on")
ROOT = pathlib.Path(__file__).parents[1]
# What a shell starts in the background ignores SIGINT.
AS_FROM_A_TERMINAL = f"""
import runpy, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / "tests")!r}]
import tiny_backbone
runpy.run_path({str(ROOT / "train.py")!r}, run_name="__main__")
"""


def test_a_search_goes_on_after_its_last_step(tmp_path, monkeypatch):
    photos, labels, boxes = marked(44)
    boxes[8:] = np.nan
    options = {"weights": "random", "train_from": "block_2", "glance_size": 64}
    options |= {"boxes": boxes, "memory": tmp_path / "steps"}
    first = find_objects(photos, labels, "tiny", **options)
    assert len(list((tmp_path / "steps").iterdir())) >= 4

    def nothing(*_, **__):
        raise AssertionError("made once more")

    for name in ("fit_localizer", "consistent_boxes", "read"):
        monkeypatch.setattr(search, name, nothing)
    again = find_objects(photos, labels, "tiny", **options)
    np.testing.assert_array_equal(again.boxes, first.boxes)
    assert again.name == first.name
    for one, other in zip(again.localizer or (), first.localizer or (), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(("signum", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_training_stops_in_a_line_and_goes_on(photos, tmp_path, signum, status):
    directory = tmp_path / "run"
    command = [sys.executable, "-c", AS_FROM_A_TERMINAL, f"--dataset=folder:{photos}"]
    command += [*SMALL_TRAINING, f"--run_dir={directory}", "--epochs=1", "--batch_size=4"]
    options = {"cwd": tmp_path, "text": True, "env": os.environ | {"PYTHONUNBUFFERED": "1"}}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen(command, **options, **pipes)
    assert process.stdout.readline().startswith("Looking for the objects in 22 training photos")
    process.send_signal(signum)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == status
    assert errors.splitlines()[-1] == (f"{directory} stopped; --resume goes on from there")
    assert "Traceback" not in errors
    assert (directory / "checkpoints" / "objects" / "photos").is_file()
    if signum == signal.SIGINT:
        done = subprocess.run([*command, "--resume"], **options, capture_output=True, timeout=300)
        assert done.returncode == 0, done.stderr
        assert (directory / "metrics.json").is_file()
        assert not (directory / "checkpoints" / "objects").exists()
