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
# With this seed the validation images are even: two devices measure all of them, as one does.
FLAGS = [*SMALL_TRAINING, "--epochs=2", "--ema=0.5", "--seed=1"]
# A process of its own, as TensorFlow splits the CPU into devices only before it is used.
TRAIN = """
import sys
import pytest
import tiny_backbone
import train
from rra_keras.layers import BoxJitter
from rra_keras.training.checkpoint import Checkpoint

BoxJitter.call = lambda self, boxes, training=None: boxes  # each device draws moves of its own

folder, *flags = sys.argv[1:]
two = [*flags, "--batch_size=6", f"--run_dir={folder}/two", "--devices=2", "--checkpoint_every=1"]

def begin(self, batch, logs=None):
    if (self.epoch, self.step) == (1, 2):
        raise SystemExit("power cut")

assert train.main([*flags, "--batch_size=5", f"--run_dir={folder}/five", "--devices=2"]) == 2
with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit, match="power cut"):
    patch.setattr(Checkpoint, "on_train_batch_begin", begin)
    train.main(two)
assert train.main([*two, "--resume"]) == 0
assert train.main([*flags, "--batch_size=6", f"--run_dir={folder}/one"]) == 0
"""


def test_two_devices_have_the_losses_of_one_also_across_a_power_cut(photos, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", TRAIN, tmp_path, f"--dataset=folder:{photos}", *FLAGS],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    assert (
        "error: Invalid value for `--batch_size`. Expected a multiple of the 2 devices. Received: 5"
    ) in done.stdout
    assert not (tmp_path / "five").exists()
    one, two = history(tmp_path / "one"), history(tmp_path / "two")
    assert one.keys() == two.keys()
    for name in one:
        np.testing.assert_allclose(two[name], one[name], atol=1e-5, err_msg=name)
    measured = [
        json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("one", "two")
    ]
    assert measured[0]["test_accuracy"] == measured[1]["test_accuracy"]
