"""Several devices that share each batch do what one does."""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
from conftest import SMALL_TRAINING, history, tensorflow_only

pytestmark = tensorflow_only("MirroredStrategy")
ROOT = pathlib.Path(__file__).parents[1]
FLAGS = [*SMALL_TRAINING, "--epochs=2", "--batch_size=6", "--ema=0.5"]
POWER_CUT = """
import sys
sys.argv[0] = "train.py"
from rra_keras.training.checkpoint import Checkpoint
def begin(self, batch, logs=None):
    if (self.epoch, self.step) == (1, 2):
        raise SystemExit(7)
Checkpoint.on_train_batch_begin = begin
from absl import app
import train
app.run(train.main, flags_parser=train.parse_flags)
"""


def run(photos, directory, *arguments, code=None):
    """Train, in a process of its own; returns its exit status and what it printed."""
    start = ["-c", code] if code else ["train.py"]
    where = (f"--dataset=folder:{photos}", f"--run_dir={directory}")
    done = subprocess.run(
        [sys.executable, *start, *where, *FLAGS, *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout + done.stderr


def test_two_devices_have_the_losses_of_one_also_across_a_power_cut(photos, tmp_path):
    assert run(photos, tmp_path / "one")[0] == 0
    cut = (photos, tmp_path / "two", "--devices=2", "--checkpoint_every=1")
    assert run(*cut, code=POWER_CUT)[0] == 7
    status, printed = run(*cut, "--resume")
    assert status == 0, printed
    one, two = history(tmp_path / "one"), history(tmp_path / "two")
    assert one.keys() == two.keys()
    for name in one:
        np.testing.assert_allclose(two[name], one[name], atol=1e-5, err_msg=name)
    measured = [
        json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("one", "two")
    ]
    assert measured[0]["test_accuracy"] == measured[1]["test_accuracy"]


def test_a_batch_that_devices_cannot_share_is_refused(photos, tmp_path):
    status, printed = run(photos, tmp_path / "run", "--devices=4")
    assert status == 2
    assert "`--batch_size`. Expected a multiple of the 4 devices. Received: 6" in printed
    assert not (tmp_path / "run").exists()
