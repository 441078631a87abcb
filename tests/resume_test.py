"""Trainings killed at any moment go on with `--resume`."""

import os
import pathlib
import random
import subprocess
import sys
import time

import numpy as np
import pytest
from conftest import SMALL_TRAINING, command

import train
from rra_keras.training.checkpoint import BEST

ROOT = pathlib.Path(__file__).parents[1]
FLAGS = [
    *SMALL_TRAINING,
    *("--localizer=none", "--batch_size=3", "--checkpoint_every=1", "--resume"),
]


def flags(photos, directory, epochs):
    return [f"--dataset=folder:{photos}", f"--run_dir={directory}", f"--epochs={epochs}", *FLAGS]


def start(photos, directory, epochs):
    """Start a training, or go on with it, in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "train.py", *flags(photos, directory, epochs)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def finish(photos, directory, epochs):
    """Train to the end, in this process."""
    status, printed, errors = command(train.main, *flags(photos, directory, epochs))
    assert status == 0, printed + errors


def kill_while_training(photos, directory, epochs, rng):
    """Kill a training within a moment of its next state; return whether it was still at work."""
    state = directory / "checkpoints" / "state.npz"
    before = state.stat().st_mtime_ns if state.exists() else None
    process = start(photos, directory, epochs)
    while process.poll() is None and (not state.exists() or state.stat().st_mtime_ns == before):
        time.sleep(0.01)
    time.sleep(rng.uniform(0, 0.5))
    process.kill()
    process.wait()
    return process.returncode != 0


def kills_survived(photos, directory, epochs, kills):
    """Compare a training killed that often with a whole one; return the kills that hit."""
    rng = random.Random(0)
    finish(photos, directory / "whole", epochs)
    killed = [kill_while_training(photos, directory / "killed", epochs, rng) for _ in range(kills)]
    finish(photos, directory / "killed", epochs)

    histories = [(directory / name / "history.csv").read_text() for name in ("whole", "killed")]
    assert histories[0] == histories[1]
    best = [np.load(directory / name / BEST) for name in ("whole", "killed")]
    with best[0], best[1]:
        assert best[0].files == best[1].files
        for name in best[0].files:
            np.testing.assert_array_equal(best[0][name], best[1][name], err_msg=name)
    return sum(killed)


def test_a_kill(photos, tmp_path):
    assert kills_survived(photos, tmp_path, epochs=4, kills=1) == 1


@pytest.mark.soak
def test_twenty_kills(photos, tmp_path):
    assert kills_survived(photos, tmp_path, epochs=30, kills=20) == 20
