"""The bootstrap that benchmarks are compared by, and what rates are measured with."""

import importlib.util
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from conftest import tensorflow_only

BENCHMARKS = pathlib.Path(__file__).parents[1] / "benchmarks"


def load(name):
    spec = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def compare():
    return load("compare")


def test_one_group_and_one_seed_leave_nothing_to_draw(compare):
    differences = np.array([[1.0, 0.0, 0.0, -1.0, 1.0]])
    assert compare.paired_bootstrap(differences, ["a"] * 5, draws=50) == (0.2, 0.2, 0.2)


def test_interval_of_independent_images_is_the_normal_one(compare):
    differences = np.array([[1.0] * 300 + [0.0] * 700])
    mean, low, high = compare.paired_bootstrap(differences, np.arange(1000), draws=4000)
    half = 1.96 * np.sqrt(0.3 * 0.7 / 1000)
    assert mean == pytest.approx(0.3)
    assert low == pytest.approx(0.3 - half, abs=0.004)
    assert high == pytest.approx(0.3 + half, abs=0.004)


def test_groups_widen_the_interval(compare):
    differences = np.array([[1.0] * 300 + [0.0] * 700])
    _, low, high = compare.paired_bootstrap(differences, np.arange(1000) // 100, draws=4000)
    assert high - low > 0.4  # ten independent groups, three of them all right


def test_predictions_are_read_by_seed(compare, tmp_path, monkeypatch):
    monkeypatch.setattr(compare, "RESULTS", tmp_path)
    (tmp_path / "birds-edge-3.csv").write_text("image,label,logits\n0,a,a\n1,b,a\n")
    (tmp_path / "birds-edge-wide-3.csv").write_text("image,label,logits\n0,a,b\n")
    assert compare.read("birds", "edge") == {3: {"0": True, "1": False}}


@tensorflow_only("the throughput of its pipeline")
def test_throughput_is_measured_by_one_command():
    command = [sys.executable, BENCHMARKS / "throughput.py", "--photos=40", "--image_size=32"]
    done = subprocess.run(
        [*command, "--rounds=1", "--steps=1"], capture_output=True, text=True, check=True
    )
    lines = done.stdout.splitlines()
    assert "1 rounds" in lines[0]
    assert [line[:30].strip() for line in lines[1:6]] == [
        "JPEG decode alone",
        "decode, flip, resize",
        "training_batches",
        "image_dataset_from_directory",
        "training (edge)",
    ]
    assert all(float(line[30:].split()[0]) > 0 for line in lines[1:6])


def test_throughput_compares_medians():
    throughput = load("throughput")
    names = (throughput.DECODE, throughput.RESIZE, throughput.PIPELINE, throughput.KERAS)
    rounds = [
        dict(zip((*names, throughput.TRAINING), ((rate, 1.0) for rate in rates), strict=True))
        for rates in ((800, 500, 100, 90, 50), (900, 100, 300, 10, 40), (10, 480, 110, 120, 5))
    ]
    assert throughput.report(rounds).splitlines()[-3:] == [
        "decode, flip, resize / JPEG decode alone: 0.60, at least 0.6 wanted: met",
        "training_batches / training (edge): 2.75, at least 3.0 wanted: missed",
        "training_batches / image_dataset_from_directory: 1.22, at least 1.0 wanted: met",
    ]
