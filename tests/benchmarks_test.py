"""What benchmarks are compared by, and measured with."""

import csv
import dataclasses
import importlib.util
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
from conftest import tensorflow_only
from PIL import Image

from rra_keras import data
from rra_keras.measures import unknown as measures
from rra_keras.runs import Run, collect
from rra_keras.training.config import configure

BENCHMARKS = pathlib.Path(__file__).parents[1] / "benchmarks"


def load(name):
    spec = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_row_takes_the_place_of_that_of_its_seed(tmp_path):
    tables, path = load("tables"), tmp_path / "table.csv"
    for seed, seconds in ((0, 1.0), (1, 2.0), (0, 3.0)):
        tables.put(path, {"row": "edge", "seed": seed, "seconds": seconds, "unknown": 1})
    rows = csv.DictReader(path.read_text().splitlines())
    kept = [(row["seed"], row["seconds"]) for row in rows]
    assert kept == [("0", "3.0"), ("1", "2.0")]


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
    (tmp_path / "birds-edge-3.csv").write_text("file,label,predicted\n0,a,a\n1,b,a\n")
    (tmp_path / "birds-edge-wide-3.csv").write_text("file,label,predicted\n0,a,b\n")
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


@pytest.fixture(scope="module")
def without_green(photos, build, tmp_path_factory):
    """A run of the photos' classes but one."""
    run = Run(tmp_path_factory.mktemp("runs") / "run")
    run.directory.mkdir()
    run.write_json("config.json", dataclasses.asdict(configure(dataset=f"folder:{photos}")))
    run.write_text("labels.txt", "blue\nred\n")
    run.write_splits(data.load(f"folder:{photos}").of_classes(["blue", "red"]))
    keras.utils.set_random_seed(0)
    model = build(num_classes=2)
    model.calibration.known_from = -9.0
    model.save(run.path("model.keras"))
    return run


def test_what_is_unknown_is_measured(without_green, photos, tmp_path, capsys):
    for name in ("dusk", "noise"):
        (tmp_path / name).mkdir()
        for i in range(5):
            pixels = np.random.default_rng(i).integers(
                0, 256 if name == "noise" else 20, (32, 32, 3)
            )
            Image.fromarray(pixels.astype("uint8")).save(tmp_path / name / f"{i}.png")
    unknown, other = load("unknown"), f"folder:{tmp_path}"
    unknown.main(without_green.directory, other)
    printed, told = capsys.readouterr()
    rows = list(csv.DictReader(printed.splitlines()))
    sizes = {(row["unknown"], row["photos"]) for row in rows}
    assert sizes == {("near", "1"), (other, str(data.load(other).splits["test"].size))}
    assert [row["score"] for row in rows[:2]] == ["the model's own", "max logit"]
    # Of a model that learned no features both scores are the same.
    assert rows[0]["auroc"] == rows[1]["auroc"]
    scores = {}
    for name, split in (
        ("known", data.load(f"folder:{photos}").of_classes(["blue", "red"])),
        (other, data.load(other)),
    ):
        seen, _ = collect(without_green.load_model(), split.splits["test"], ("score",))
        scores[name] = seen["score"][:, 0]
    expected = measures.auroc(scores["known"], scores[other])
    assert float(rows[2]["auroc"]) == pytest.approx(expected, abs=1e-3)
    assert told.splitlines()[-3:] == [
        f"{name}: 100.0% pass the run's threshold" for name in ("known", "near", other)
    ]


def test_a_run_of_all_classes_needs_another_set(without_green, photos, tmp_path, capsys):
    for name in ("config.json", "model.keras"):
        (tmp_path / name).write_bytes(without_green.path(name).read_bytes())
    (tmp_path / "labels.txt").write_text("blue\ngreen\nred\n")
    with pytest.raises(SystemExit) as stopped:
        load("unknown").main(tmp_path)
    assert stopped.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: Expected a run that classes were held out of")


def test_classes_are_held_out_evenly(photos):
    source, unknown = data.load(f"folder:{photos}"), load("unknown")
    assert unknown.without(source, 1).class_names == ("green", "red")
    assert unknown.without(source, 2).class_names == ("green",)


def test_new_classes_have_few_photos_and_known_ones_all(photos):
    source = data.load(f"folder:{photos}")
    train = load("going_on").few(source, known=2, photos=1).splits["train"]
    counts = np.bincount(source.splits["train"].labels)
    assert np.bincount(train.labels).tolist() == [counts[0], counts[1], 1]


def test_wrong_labels_are_of_other_classes_or_of_the_twin():
    doubts = load("doubts")
    labels = np.repeat([0, 1, 2], 40)
    shares = np.eye(3)[labels] * 0.8 + np.array([[0, 0, 0.2], [0.2, 0, 0], [0, 0.2, 0]])[labels]
    for kind in ("any", "twin"):
        given, wrong = doubts.made_wrong(labels, shares, kind, np.random.default_rng(0))
        assert wrong.sum() == 6  # one in twenty
        np.testing.assert_array_equal(given != labels, wrong)
    twins = np.array([2, 0, 1])  # the second most probable
    np.testing.assert_array_equal(given[wrong], twins[labels[wrong]])
