"""The bootstrap that benchmarks are compared by."""

import importlib.util
import pathlib

import numpy as np
import pytest

BENCHMARKS = pathlib.Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(scope="module")
def compare():
    spec = importlib.util.spec_from_file_location("compare", BENCHMARKS / "compare.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


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
