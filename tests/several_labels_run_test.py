"""A whole run on photos of several labels: train, ask, measure, export, and ask the device."""

import csv
import io
import json
import shutil

import numpy as np
import pytest
from conftest import SMALL_TRAINING, command, last_line, tensorflow_only
from PIL import Image

import rra_keras
from rra_keras import data, evaluate, predict, report, train_command, training
from rra_keras.measures import multilabel
from rra_keras.training import read_boxes

pytestmark = tensorflow_only("export and maps")
COLORS = {"blue": (0, 0, 255), "green": (0, 255, 0), "red": (255, 0, 0)}


@pytest.fixture(scope="module")
def album(tmp_path_factory):
    """36 photos with a patch of each color among their labels; some have none."""
    root, rng = tmp_path_factory.mktemp("album"), np.random.default_rng(0)
    rows = ["file,labels"]
    for i in range(36):
        pixels = rng.integers(0, 100, (48, 72, 3))
        names = [name for name in COLORS if rng.uniform() < 0.5]
        for k, name in enumerate(names):
            pixels[8:32, 4 + 22 * k : 22 + 22 * k] = COLORS[name]
        Image.fromarray(pixels.astype("uint8")).save(root / f"{i}.png")
        rows.append(f"{i}.png,{';'.join(names)}")
    (root / "labels.csv").write_text("\n".join(rows))
    return root


@pytest.fixture(scope="module")
def run(album, tmp_path_factory):
    """The directory of a run, and what its training printed."""
    directory = tmp_path_factory.mktemp("runs") / "several"
    flags = [*SMALL_TRAINING, "--epochs=2", "--batch_size=4"]
    status, printed, errors = command(
        train_command.main, f"--dataset={album}", f"--run_dir={directory}", *flags
    )
    assert status == 0, errors
    return directory, printed


@pytest.fixture(scope="module")
def decided(run, tmp_path_factory):
    """The same run with thresholds that no probability of this small training is near."""
    directory = tmp_path_factory.mktemp("decided") / "run"
    shutil.copytree(run[0], directory)
    trained = rra_keras.TrainedRun.open(directory)
    trained.model.calibration.thresholds = [0.2, 0.8, 0.1]
    trained.model.save(directory / "model.keras")
    return trained


def rows_of(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_the_run_says_what_it_is_worth(run):
    directory, printed = run
    metrics = json.loads((directory / "metrics.json").read_text())
    assert f"Test mean average precision {metrics['test_mean_ap']:.1%}" in printed
    assert metrics["answer"] == "any"
    assert len(metrics["test_mean_ap_by_fixations"]) == 2
    rows = rows_of((directory / "test.csv").read_text())
    shares = np.array([[float(row[f"p({name})"]) for name in COLORS] for row in rows])
    labels = np.array([[name in row["label"].split(";") for name in COLORS] for row in rows])
    exact = np.nanmean(multilabel.average_precision(shares, labels))
    assert metrics["test_mean_ap"] == pytest.approx(exact, abs=1e-6)
    assert (directory / "focus.png").is_file()


def test_what_is_said_is_above_its_threshold(decided, album):
    for row in decided.predict([album / "0.png", album / "1.png"]):
        assert all(0.2 < float(row[f"p({name})"]) < 0.8 for name in COLORS)
        assert sorted(row["predicted"].split(";")) == ["blue", "red"]
    about = (decided.directory, album / "0.png", album / "1.png")
    status, printed, errors = command(predict.main, *about, "--known_from=-1000")
    assert (status, errors) == (0, "")
    assert printed.startswith(f"{album / '0.png'}\n  ")
    assert "green" not in printed


def test_it_is_measured(run):
    directory, _ = run
    status, printed, errors = command(evaluate.main, directory)
    assert status == 0, errors
    figures, metrics = (
        json.loads(last_line(printed)),
        json.loads((directory / "metrics.json").read_text()),
    )
    for name in ("mean_ap", "f1_macro", "f1_micro", "all_right"):
        assert figures[name] == pytest.approx(metrics[f"test_{name}"], abs=1e-6)
    status, _, errors = command(evaluate.main, directory, "--label_issues=issues.csv")
    assert (status, len(errors.splitlines())) == (2, 1)
    assert "one label a photo" in errors


def test_the_report_is_of_each_label(decided):
    directory = decided.directory
    status, printed, errors = command(report.main, directory, "--faithfulness_images=0")
    assert status == 0, errors
    assert last_line(printed) == f"Written: {directory}/report.html, {directory}/report.json"
    figures = json.loads((directory / "report.json").read_text())
    measured = decided.evaluate()
    assert list(figures["tiles"].values()) == pytest.approx(
        [measured[name] for name in ("mean_ap", "f1_micro", "all_right")], abs=1e-6
    )
    by_label = {row["name"]: row for row in figures["classes"]}
    assert [by_label[name]["threshold"] for name in COLORS] == pytest.approx([0.2, 0.8, 0.1])
    assert by_label["green"]["recall"] == 0.0
    assert by_label["red"]["recall"] == 1.0
    assert np.mean([row["ap"] for row in by_label.values()]) == pytest.approx(measured["mean_ap"])
    assert [row["accuracy"] for row in figures["by_fixation"]["rows"]][-1] == pytest.approx(
        measured["mean_ap"]
    )
    page = (directory / "report.html").read_text()
    for words in ("Labels together", "said from", "mean AP, by so many"):
        assert words in page
    assert "Confused pairs" not in page


def test_the_device_says_the_same(decided, album, tmp_path):
    from export.classify import Classifier

    quick = {"verify_images": 8, "latency_runs": 1, "gpu_images": 0, "precision": ("fp32",)}
    folder = decided.export(tmp_path / "export", **quick)
    classifier = Classifier(folder / "model_fp32.tflite")
    assert classifier.thresholds == pytest.approx([0.2, 0.8, 0.1])
    for row in decided.predict([album / f"{i}.png" for i in range(4)]):
        result = classifier.classify(row["file"])
        shares = dict(zip(result.labels, result.probabilities, strict=True))
        assert shares == pytest.approx({n: float(row[f"p({n})"]) for n in COLORS}, abs=2e-3)
        assert result.score == pytest.approx(float(row["score"]), abs=0.02)
        assert {name for name, _ in result.said} == {"blue", "red"}


def test_positive_weights_let_rare_labels_count(run, album, tmp_path):
    flags = [*SMALL_TRAINING, "--localizer=none", "--epochs=1", "--batch_size=4"]
    of_places = ("--glance", "--crop", "--max", "--one")
    flags = [flag for flag in flags if not flag.startswith(of_places)]
    status, _, errors = command(
        train_command.main,
        *(f"--dataset={album}", f"--run_dir={tmp_path / 'run'}", "--class_weight=balanced"),
        *flags,
    )
    assert status == 0, errors
    status, _, errors = command(
        train_command.main, f"--dataset={album}", f"--run_dir={tmp_path}/p", "--preset=paper_vgg19"
    )
    assert status == 2
    assert "`--preset`. Expected edge for photos of several labels" in last_line(errors)


def test_boxes_that_say_their_label_are_read_first(album, tmp_path):
    rows = ["file,y0,x0,y1,x1,label"]
    for line in (album / "labels.csv").read_text().splitlines()[1:]:
        file, names = line.split(",")
        for k, name in enumerate(filter(None, names.split(";"))):
            x0, x1 = (4 + 22 * k) / 72, (22 + 22 * k) / 72
            rows.append(f"{file},{8 / 48},{x0},{32 / 48},{x1},{name}")
    (tmp_path / "boxes.csv").write_text("\n".join(rows))
    flags = [*SMALL_TRAINING, "--epochs=1", "--batch_size=4"]
    where = (f"--dataset={album}", f"--run_dir={tmp_path / 'run'}")
    status, printed, errors = command(
        train_command.main, *where, f"--boxes={tmp_path / 'boxes.csv'}", *flags
    )
    assert status == 0, errors
    assert "Reading the labeled boxes of " in printed
    kept = rows_of((tmp_path / "run" / "boxes.csv").read_text())
    assert {row["label"] for row in kept} == set(COLORS)


def test_crops_are_cut_at_boxes_with_their_own_label(album, build):
    source = data.load(str(album))
    split = source.splits["train"]
    rows = np.flatnonzero(split.labels.sum(axis=1) == 3)
    boxes = np.full((len(rows), 3, 4), np.nan, "float32")
    for k in range(3):
        boxes[:, k] = [8 / 48, (4 + 22 * k) / 72, 32 / 48, (22 + 22 * k) / 72]
    labels = np.tile(np.arange(3), (len(rows), 1))
    config = training.configure("edge", {"image_size": 64}, dataset=str(album), augment="none")
    model = build(answer="any")
    cut_of = read_boxes.crops_at
    upright = cut_of(split.subset(rows), boxes, labels, model, len(rows), config, mirror=False)
    for (_, cut), there in upright.take(4).as_numpy_iterator():
        shown = there.any(axis=1)
        np.testing.assert_allclose(cut[shown], boxes[0][there[shown].argmax(axis=1)], atol=1e-6)
    batches = cut_of(split.subset(rows), boxes, labels, model, len(rows), config)
    for (images, cut), there in batches.take(8).as_numpy_iterator():
        assert set(there.sum(axis=1)) <= {0.0, 1.0}
        for image, (y0, x0, y1, x1), row in zip(images, cut, there, strict=True):
            if row.any():
                y, x = int(32 * (y0 + y1)), int(32 * (x0 + x1))
                assert image[y, x].argmax() == {0: 2, 1: 1, 2: 0}[int(row.argmax())]


def test_runs_of_one_label_and_of_several_go_on_from_each_other(photos, album, run, tmp_path):
    small = ["--epochs=1", "--batch_size=4", *SMALL_TRAINING]
    chain = [("one", photos, run[0]), ("any", album, tmp_path / "one")]
    for answer, dataset, start in chain:
        where = (f"--dataset={dataset}", f"--run_dir={tmp_path / answer}", f"--init_from={start}")
        status, _, errors = command(train_command.main, *where, *small)
        assert status == 0, errors
        models = [rra_keras.TrainedRun.open(path).model for path in (start, tmp_path / answer)]
        assert models[1].answer == answer != models[0].answer
        localizers = [model.attention.localizer.get_weights() for model in models]
        assert all(np.array_equal(*each) for each in zip(*localizers, strict=True))
