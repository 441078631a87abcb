"""Two processes that share each batch under JAX do what one does, and miss one another."""

import os
import pathlib
import socket
import subprocess
import sys

import keras
import numpy as np
import pytest
from conftest import SMALL_TRAINING, history

from rra_keras.training.processes import join

# Whatever the backend here, the processes that they start run JAX.
pytestmark = pytest.mark.skipif(
    keras.config.backend() == "jax", reason="starts JAX in processes of its own: tested once"
)
ROOT = pathlib.Path(__file__).parents[1]
# At a low rate: sums are rounded in another order by two, and training makes more of it.
FLAGS = [*SMALL_TRAINING, "--epochs=2", "--batch_size=6", "--checkpoint_every=1"]
FLAGS += ["--learning_rate=0.003", "--localizer=none"]
# Keeps the weights of every process at the end; may end one of them on the way.
TRAIN = """
import functools, os, signal, sys
import numpy as np
import tiny_backbone
from rra_keras import cli
from rra_keras.training import processes
from rra_keras.training.checkpoint import Checkpoint
from rra_keras.training.processes import number_and_count

victim, folder = sys.argv.pop(1), sys.argv.pop(1)
sys.argv[0] = "train.py"
number = number_and_count

def begin(self, batch, logs=None):
    place = (1, 2) if victim == "1" else (0, 1)
    if (self.epoch, self.step) == place and str(number()[0]) == victim:
        os.kill(os.getpid(), signal.SIGKILL)

def end(self, logs=None, before=Checkpoint.on_train_end):
    before(self, logs)
    weights = self.model.get_weights()
    np.savez(os.path.join(folder, f"weights_{number()[0]}.npz"), *weights)

Checkpoint.on_train_batch_begin = begin
Checkpoint.on_train_end = end
processes.join = functools.partial(processes.join, heartbeat=10)
import train
cli.run(train.main)
"""


def start(photos, folder, *arguments, victim=None):
    """Start a process that trains in `folder/run`."""
    where = (f"--dataset=folder:{photos}", f"--run_dir={folder / 'run'}")
    return subprocess.Popen(
        [sys.executable, "-c", TRAIN, str(victim), str(folder), *where, *FLAGS, *arguments],
        cwd=ROOT,
        env={
            **os.environ,
            "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}",
            "KERAS_BACKEND": "jax",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def start_two(photos, folder, *arguments, victim=None):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    shared = (f"--coordinator={address}", "--num_processes=2", *arguments)
    return [start(photos, folder, *shared, f"--process_id={i}", victim=victim) for i in range(2)]


def ends(processes):
    """Wait for processes; returns their exit statuses and what they printed."""
    printed = [process.communicate(timeout=300)[0] for process in processes]
    return [process.returncode for process in processes], printed


def weights(folder, number):
    with np.load(folder / f"weights_{number}.npz") as arrays:
        return [arrays[name] for name in arrays.files]


def test_two_processes_do_what_one_does_also_when_one_is_lost_on_the_way(photos, tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    statuses, printed = ends([start(photos, one)])
    assert statuses == [0], printed

    statuses, printed = ends(start_two(photos, two, victim=1))
    assert statuses == [1, -9], printed
    assert "after epoch 1 and 2 of 3 steps is intact; start all processes" in printed[0]

    statuses, printed = ends(start_two(photos, two, "--resume"))
    assert statuses == [0, 0], printed
    for a, b in zip(weights(two, 0), weights(two, 1), strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(weights(one, 0), weights(two, 0), strict=True):
        # Where a channel is the same in the whole batch, rounding decides on which side of ReLU6 it
        # is: a few of 1,024 differ by a hundredth of what a step moves.
        np.testing.assert_allclose(a, b, atol=1e-4)
    for name, values in history(one / "run").items():
        np.testing.assert_allclose(history(two / "run")[name], values, atol=1e-5, err_msg=name)
    assert (two / "run" / "metrics.json").exists()


@pytest.mark.soak
def test_one_of_two_processes_finds_the_objects_for_both(photos, tmp_path):
    """The boxes are those of one process alone, and so are the weights that are trained on them."""
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    statuses, printed = ends([start(photos, one, "--localizer=box")])
    assert statuses == [0], printed
    statuses, printed = ends(start_two(photos, two, "--localizer=box"))
    assert statuses == [0, 0], printed
    assert ["Looking for the objects" in each for each in printed] == [True, False]
    assert (two / "run" / "objects.csv").read_text() == (one / "run" / "objects.csv").read_text()
    for a, b, c in zip(weights(one, 0), weights(two, 0), weights(two, 1), strict=True):
        np.testing.assert_array_equal(b, c)
        np.testing.assert_allclose(a, b, atol=1e-4)

    (two / "run" / "objects.json").write_text("none")  # nobody reads those of a run of before
    statuses, printed = ends(start_two(photos, two, "--localizer=box", "--overwrite"))
    assert statuses == [0, 0], printed


def test_a_lost_coordinator_ends_the_others(photos, tmp_path):
    statuses, printed = ends(start_two(photos, tmp_path, victim=0))
    assert statuses[0] == -9
    assert statuses[1] != 0, printed


def test_waiting_for_processes_that_never_come_ends():
    code = "from rra_keras.training.processes import join\njoin('127.0.0.1:1', 2, 1, timeout=3)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT), "KERAS_BACKEND": "jax"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 2
    last = done.stderr.strip().splitlines()[-1]
    assert last == "error: waited 3 s for process 0 at 127.0.0.1:1, in vain"


@pytest.mark.parametrize("address", ["nowhere", "host:port", "host:", ":80"])
def test_an_address_that_is_none_is_refused(address):
    with pytest.raises(ValueError, match=f"as HOST:PORT. Received: '{address}'"):
        join(address, 2, 0)


def test_another_backend_is_refused():
    with pytest.raises(ValueError, match="set KERAS_BACKEND=jax"):
        join("127.0.0.1:1", 2, 1)
