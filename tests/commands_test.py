"""The commands, end to end on a small folder of photos."""

import csv
import io
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import keras
import numpy as np
import pytest
from conftest import SMALL_MOBILENET, SMALL_TRAINING, command, last_line
from PIL import Image

import train
from rra_keras import data, evaluate, predict, report
from rra_keras.data import decode, file_list, pipeline
from rra_keras.runs import Run

ROOT = pathlib.Path(__file__).parents[1]
DRAWS = keras.config.backend() == "tensorflow"  # Grad-CAM by tf-keras-vis
FLAGS = [*SMALL_TRAINING, "--epochs=1", "--batch_size=4"]


@pytest.fixture(scope="module")
def run(photos, tmp_path_factory):
    """The directory of a training on `photos`, and what it printed."""
    directory = tmp_path_factory.mktemp("runs") / "tiny"
    status, printed, errors = command(
        train.main, f"--dataset=folder:{photos}", f"--run_dir={directory}", *FLAGS
    )
    assert (status, errors) == (0, "")
    return directory, printed


def test_training_writes_the_run(run):
    directory, printed = run
    names = {path.name for path in directory.iterdir()}
    assert {"model.keras", "config.json", "labels.txt", "history.csv"} <= names
    assert (directory / "labels.txt").read_text() == "blue\ngreen\nred\n"
    assert not [name for name in names if "partial" in name]
    said = list(csv.DictReader((directory / "test.csv").read_text().splitlines()))
    right = [row["label"] == row["predicted"] for row in said]
    if DRAWS:
        with Image.open(directory / "focus.png") as picture:
            assert picture.size[0] > 400
    else:
        assert "No focus.png" in printed
    metrics = json.loads((directory / "metrics.json").read_text())
    assert set(metrics) == {
        "test_accuracy",
        "test_top5_accuracy",
        "answer",
        "test_accuracy_by_fixations",
        "test_reads",
        "test_refinements",
        "attention_temperature",
        "sure_from",
        "test_calibration_error",
        "test_calibration_error_before",
        "test_known",
        "temperature",
        "known_from",
        "val_accuracy",
        "parameters",
        "multiply_adds",
        "train_images_per_second",
        "seconds",
        "epochs",
        "seed",
        "dataset",
        "num_classes",
        "command",
        "versions",
    }
    assert metrics["test_top5_accuracy"] == 1.0  # of three classes
    assert metrics["test_accuracy"] == sum(right) / len(right)
    assert metrics["num_classes"] == 3
    assert metrics["command"].startswith("python train.py --dataset=folder:")
    assert f"Test accuracy {metrics['test_accuracy']:.1%}, top-5" in printed.splitlines()[-3]
    assert str(directory) in printed.splitlines()[-2]
    if DRAWS:
        assert printed.splitlines()[-1] == f"Drawn: {directory}/focus.png"
    rows = list(csv.DictReader((directory / "history.csv").read_text().splitlines()))
    assert float(rows[0]["val_accuracy"]) == pytest.approx(metrics["val_accuracy"])


def test_evaluate_gives_the_training_s_own_figures(run, tmp_path):
    directory, _ = run
    status, printed, errors = command(
        evaluate.main, f"--run={directory}", "--batch_size=4", f"--csv={tmp_path / 'said.csv'}"
    )
    assert status == 0, errors
    assert (tmp_path / "said.csv").read_text() == (directory / "test.csv").read_text()
    metrics = json.loads((directory / "metrics.json").read_text())
    measured = json.loads(printed.strip().splitlines()[-1])
    assert measured["split"] == "test"
    assert measured["images"] == 5
    for name in ("accuracy", "top5_accuracy"):
        assert measured[name] == metrics[f"test_{name}"]
    for name in ("calibration_error", "calibration_error_before"):
        assert measured[name] == pytest.approx(metrics[f"test_{name}"], abs=1e-6)
    assert measured["known"] == metrics["test_known"]
    model = Run(directory).load_model()
    assert model.calibration.temperature == metrics["temperature"] != 1.0
    assert model.calibration.known_from == metrics["known_from"]


def test_doubted_labels_are_what_exclude_takes(run, photos, build, tmp_path, monkeypatch):
    monkeypatch.setattr(Run, "load_model", lambda self: build())
    monkeypatch.setattr(evaluate, "doubted_labels", lambda *_: np.array([3, 0]))
    issues = tmp_path / "issues.csv"
    status, _, errors = command(evaluate.main, f"--run={run[0]}", f"--label_issues={issues}")
    assert status == 0, errors
    test = data.load(f"folder:{photos}").splits["test"]
    rows = table(issues)
    assert [(row["file"], row["label"]) for row in rows] == [
        (test.names[3], "red"),
        (test.names[0], "blue"),
    ]
    left = data.load(f"folder:{photos}", exclude=file_list.read(issues)).splits["test"]
    assert left.names == test.names[1:3] + test.names[4:]


@pytest.mark.parametrize("flag", ["csv", "label_issues"])
def test_evaluate_writes_no_folder(run, photos, monkeypatch, flag):
    monkeypatch.setattr(Run, "load_data", None)
    status, _, errors = command(evaluate.main, f"--run={run[0]}", f"--{flag}={photos}")
    assert status == 2
    assert f"`--{flag}`. Expected a file to write." in errors


def test_predict_ranks_classes_and_draws(run, photos, tmp_path):
    directory, _ = run
    upright, turned = photos / "red" / "g0_0.png", tmp_path / "turned.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: to be turned by 90° to the right
    with Image.open(upright) as photo:
        photo.transpose(Image.Transpose.ROTATE_90).save(turned, exif=exif, quality=100)
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no image")
    status, printed, errors = command(
        *(predict.main, f"--run={directory}", "--csv=-"),
        *([f"--draw={tmp_path / 'drawn'}"] if DRAWS else []),
        *(upright, broken, turned),
    )
    assert status == 2  # one photo could not be read, the others were
    assert f"{broken}" in last_line(errors)
    rows = list(csv.DictReader(io.StringIO(printed[printed.index("file,predicted") :])))
    assert [row["file"] for row in rows] == [str(upright), str(turned)]
    shares = [
        {row[f"predicted{r}"]: float(row[f"probability{r}"]) for r in ("", "_2", "_3")}
        for row in rows
    ]
    for each in shares:
        assert sorted(each) == ["blue", "green", "red"]
        assert sum(each.values()) == pytest.approx(1, abs=1e-5)
    assert shares[1] == pytest.approx(shares[0], abs=0.02)
    model = Run(directory).load_model()
    image = pipeline.resize(decode.read_image(upright), 64)[None]
    seen = model.view("logits", "score").predict(image, verbose=0)
    logits, score = seen["logits"][0], seen["score"].item()
    expected = np.exp(logits / model.calibration.temperature)
    expected /= expected.sum()
    found = [shares[0][name] for name in ("blue", "green", "red")]
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert float(rows[0]["score"]) == pytest.approx(score, abs=1e-3)
    # The photo may be the very one that set the threshold: then rounding decides.
    known_from = model.calibration.known_from
    assert int(rows[0]["known"]) == int(score >= known_from) or score == pytest.approx(
        known_from, abs=1e-3
    )
    drawn = {path.name for path in tmp_path.glob("drawn/*")}
    assert drawn == ({"g0_0.png", "turned.png"} if DRAWS else set())


@pytest.fixture
def album(photos, tmp_path):
    """A folder of two photos, one of them deeper, and of two files that are none."""
    folder = tmp_path / "album"
    (folder / "b").mkdir(parents=True)
    shutil.copy(photos / "red" / "g0_0.png", folder / "b" / "red.png")
    shutil.copy(photos / "blue" / "g0_0.png", folder / "a.png")
    with Image.open(folder / "a.png") as photo:
        photo.save(folder / "b" / "damaged.jpg")
    content = bytearray((folder / "b" / "damaged.jpg").read_bytes())
    content[len(content) // 2 :: 7] = b"\xff" * len(content[len(content) // 2 :: 7])
    (folder / "b" / "damaged.jpg").write_bytes(content[:-2] + b"\xff\xd9")
    (folder / "notes.txt").write_text("no image")
    return folder


def table(path):
    return list(csv.DictReader(path.read_text("utf-8").splitlines()))


def test_predict_walks_folders_and_writes_tables_whole(run, album, build, tmp_path, monkeypatch):
    model = build()
    monkeypatch.setattr(Run, "load_model", lambda self: model)
    said, places = album / "said.csv", tmp_path / "places.csv"
    said.write_text("an older table")  # replaced, and no photo
    single = album / "b" / "red.png"
    arguments = (f"--csv={said}", f"--fixations_csv={places}", "--batch_size=1", single, album)
    status, printed, errors = command(predict.main, f"--run={run[0]}", *arguments)
    assert status == 2
    assert printed.splitlines() == [f"Written: {said}", f"Written: {places}"]
    bad = [album / "b" / "damaged.jpg", album / "notes.txt"]
    assert [line.split(" (")[0] for line in errors.splitlines()] == [
        f"error: Expected an image file. Received: {path}" for path in bad
    ]
    rows = table(said)
    assert [row["file"] for row in rows] == [str(single), str(album / "a.png")]
    assert list(rows[0]) == [
        *("file", "predicted", "probability", "score", "known"),
        *("predicted_2", "probability_2", "predicted_3", "probability_3"),
    ]
    # As a single photo is answered.
    _, printed, _ = command(predict.main, f"--run={run[0]}", "--csv=-", album / "a.png")
    (alone,) = csv.DictReader(io.StringIO(printed))
    assert alone["predicted"] == rows[1]["predicted"]
    assert float(alone["probability"]) == pytest.approx(float(rows[1]["probability"]), abs=2e-5)

    image = pipeline.resize(decode.read_image(album / "a.png"), 64)
    seen = model.view("read_boxes", "fixation_weights").predict_on_batch(image[None])
    rows = [row for row in table(places) if row["file"] == str(album / "a.png")]
    weights = np.asarray(seen["fixation_weights"])[0]
    assert [row["fixation"] for row in rows] == [str(k + 1) for k in np.flatnonzero(weights > 0)]
    assert float(rows[0]["weight"]) == pytest.approx(weights[0], abs=1e-3)
    found = [float(rows[0][edge]) for edge in ("y0", "x0", "y1", "x1")]
    box = np.asarray(seen["read_boxes"])[0, 0]
    np.testing.assert_allclose(found, (box * 63 + 0.5) / 64, atol=1e-3)  # of 64 pixels


def test_pictures_of_a_folder_keep_its_folders(run, album, build, monkeypatch):
    drawn = []
    monkeypatch.setattr(Run, "load_model", lambda self: build())
    monkeypatch.setattr(keras.config, "backend", lambda: "tensorflow")
    monkeypatch.setattr(predict, "_draw", lambda *arguments: drawn.append(arguments[-1]))
    command(predict.main, f"--run={run[0]}", "--draw=drawn", album, album.parent / "none.png")
    assert drawn == [pathlib.Path("drawn", name) for name in ("album/a.png", "album/b/red.png")]


@pytest.mark.parametrize(
    ("photos", "pictures"),
    [
        (["red/000.jpg", "green/000.jpg"], ["red/000.png", "green/000.png"]),
        (["red/001.jpg", "red/001.png"], ["001.jpg.png", "001.png.png"]),
        (["a/red/1.jpg", "b/red/1.jpg", "2.jpg"], ["a/red/1.png", "b/red/1.png", "2.png"]),
        (["red/A.jpg", "red/a.jpg"], ["A.jpg.1.png", "a.jpg.2.png"]),
    ],
)
def test_no_two_pictures_are_at_one_place(tmp_path, photos, pictures):
    named = {str(tmp_path / photo): pathlib.Path(photo).name for photo in photos}
    found = list(predict.picture_names(named).values())
    assert len({str(name).lower() for name in found}) == len(photos)
    assert [str(name) for name in found] == pictures


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ([], "Received none"),
        (["PHOTOS", "EMPTY"], "empty, without a file"),
        (["--csv=EMPTY", "PHOTOS"], "`--csv`. Expected a file to write."),
        (["--csv=EMPTY/none/said.csv", "PHOTOS"], "none is no folder"),
        (["--fixations_csv=PHOTOS/red/g0_0.png", "PHOTOS"], "g0_0.png, a photo"),
        (["--csv=/dev/null", "PHOTOS"], "/dev/null, no file"),
        (["--batch_size=0", "PHOTOS"], "batch_size"),
        (["--draw=PHOTOS/red/g0_0.png", "PHOTOS"], "is a file"),
    ],
)
def test_what_predict_refuses_before_it_works(run, photos, tmp_path, monkeypatch, arguments, named):
    directory, _ = run
    monkeypatch.setattr(Run, "load_model", None)
    (tmp_path / "empty").mkdir()
    places = {"PHOTOS": str(photos), "EMPTY": str(tmp_path / "empty")}
    for place, path in places.items():
        arguments = [argument.replace(place, path) for argument in arguments]
    before = (photos / "red" / "g0_0.png").read_bytes()
    status, printed, errors = command(predict.main, f"--run={directory}", *arguments)
    assert (status, printed) == (2, "")
    assert len(errors.splitlines()) == 1
    assert named in errors
    assert (photos / "red" / "g0_0.png").read_bytes() == before


def test_a_plain_backbone_has_no_fixations(run, photos, build, tmp_path, monkeypatch):
    monkeypatch.setattr(Run, "load_model", lambda self: build(localizer=None))
    places = tmp_path / "places.csv"
    arguments = (f"--run={run[0]}", f"--fixations_csv={places}", photos)
    status, _, errors = command(predict.main, *arguments)
    assert status == 2
    assert "a run whose model has fixations" in last_line(errors)
    assert not places.exists()


def test_predict_names_nothing_that_is_none_of_the_classes(photos, build, tmp_path):
    model = build(max_fixations=1)
    model.calibration.known_from = 9.5
    model.save(tmp_path / "model.keras")
    (tmp_path / "labels.txt").write_text("blue\ngreen\nred\n")
    (tmp_path / "config.json").write_text("{}")
    photo = photos / "red" / "g0_0.png"
    status, printed, errors = command(predict.main, f"--run={tmp_path}", photo)
    assert (status, errors) == (0, "")
    score = model.predict(pipeline.resize(decode.read_image(photo), 64)[None], verbose=0).max()
    said = f"  none of these (score {score:.2f}, known from 9.50)"
    assert printed.splitlines()[-2:] == [str(photo), said]


@pytest.mark.parametrize(
    ("flag", "named"),
    [
        ("--epochs=0", "epochs"),
        ("--batch_size=-1", "batch_size"),
        ("--max_fixations=0", "max_fixations"),
        ("--learning_rate=nan", "learning_rate"),
        ("--learning_rate=-0.1", "learning_rate"),
        ("--augment=all", "augment"),
        ("--crop_size=160x", "crop_size"),
        ("--localizer=nose", "localizer"),
        ("--nonsense=1", "nonsense"),
    ],
)
def test_a_flag_error_is_one_line(flag, named):
    status, printed, errors = command(train.main, flag)
    assert (status, printed) == (2, "")
    assert errors.startswith("error: ")
    assert named in errors
    assert len(errors.splitlines()) == 1


@pytest.mark.parametrize("main", [train.main, evaluate.main, predict.main, report.main])
def test_help_names_every_flag(main):
    status, printed, errors = command(main, "--help", "--nonsense")
    assert (status, errors) == (0, "")
    named = set(re.findall(r"^ +--(?:\[no\])?(\w+):", printed, re.MULTILINE))
    flags = set(sys.modules[main.__module__].FLAGS)
    assert named == flags > {"verbosity"}


def test_flags_of_one_call_are_not_those_of_the_next(tmp_path):
    _, _, errors = command(train.main, "--resume", "--overwrite")
    assert "received both" in errors
    _, _, errors = command(train.main, "--overwrite", "--dataset=folder:nowhere")
    assert "nowhere" in errors


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--dataset=synthetic_brids"], "synthetic_birds"),
        (["--dataset=folder:nowhere"], "nowhere"),
        (["--backbone=efficientnet_lite9"], "efficientnet_lite0"),
        (["--glance_size=8"], "`glance_size`"),
        (["--image_size=16"], "`image_size`"),
        (["--train_from=block_99"], "train_from"),
        (["--weights=nowhere.h5"], "nowhere.h5"),
        (["--exclude=nowhere.csv"], "nowhere.csv"),
        ([f"--exclude={pathlib.Path(__file__)}"], "such as blue/g0_0.png. Received:"),
    ],
)
def test_bad_input_is_one_line_and_leaves_no_run(photos, tmp_path, flags, named):
    flags = [f"--dataset=folder:{photos}", *flags]
    status, _, errors = command(train.main, f"--run_dir={tmp_path / 'run'}", *flags)
    assert status == 2
    assert last_line(errors).startswith("error: ")
    assert named in last_line(errors)
    assert len(errors.splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_a_used_run_directory_is_kept(run, photos):
    directory, _ = run
    flags = [f"--dataset=folder:{photos}", f"--run_dir={directory}", *FLAGS]
    status, _, errors = command(train.main, *flags)
    assert status == 2
    assert "--resume" in last_line(errors)
    assert "--overwrite" in last_line(errors)
    status, _, errors = command(train.main, *flags, "--seed=1", "--resume")
    assert status == 2
    assert "seed" in last_line(errors)


def test_a_finished_run_is_noticed_first_and_its_picture_drawn_if_missing(run, photos, monkeypatch):
    directory, _ = run
    flags = [f"--dataset=folder:{photos}", f"--run_dir={directory}", *FLAGS, "--resume"]
    monkeypatch.setattr("rra_keras.training.prepare", None)
    before = {path.name: path.stat().st_mtime_ns for path in directory.iterdir()}
    status, printed, errors = command(train.main, *flags)
    assert (status, errors) == (0, "")
    assert printed.startswith(f"{directory} is finished: nothing to resume.\nTest accuracy ")
    assert {path.name: path.stat().st_mtime_ns for path in directory.iterdir()} == before
    if DRAWS:
        (directory / "focus.png").unlink()
        status, printed, errors = command(train.main, *flags)
        assert (status, errors) == (0, "")
        assert last_line(printed) == f"Drawn: {directory}/focus.png"
        assert (directory / "focus.png").is_file()


def test_predict_without_a_run(tmp_path):
    status, _, errors = command(predict.main, f"--run={tmp_path}", "photo.jpg")
    assert status == 2
    assert "model.keras" in last_line(errors)


@pytest.mark.parametrize(
    ("main", "arguments"),
    [(report.main, ["--run=RUN"]), (predict.main, ["--run=RUN", "--draw=DRAWN", "photo.jpg"])],
)
def test_what_needs_tensorflow_says_so_under_jax(main, arguments, monkeypatch):
    monkeypatch.setattr(keras.config, "backend", lambda: "jax")
    status, _, errors = command(main, *arguments)
    assert status == 2
    assert len(errors.splitlines()) == 1
    assert "`KERAS_BACKEND`. Expected 'tensorflow' for" in errors


# What a training prints where it is no terminal, line by line.
# ruff: noqa: E501
QUIET = r"""Looking for the objects in 22 training photos.
The objects cover \d+% of the photos on average: read at 32×32 pixels.
folder:\S+: 3 classes, 22 train, 3 validation, 5 test
held out of the training images with seed 0: test, validation
training images a class: 7 \(blue\) to 8 \(green\)
Epoch 1/2
5/5 - \d+s - .* - loss: \S+ - .* - val_loss: \S+
Epoch 2/2
5/5 - \d+s - .* - loss: \S+ - .* - val_loss: \S+
Calibrating on validation, and testing, once:
6/6 - \d+s - \S+/batch
3/3 - \d+s - \S+/batch
Where the time went: data \d+ s, objects \d+ s, model \d+ s, training \d+ s, validation \d+ s, checkpoints .*
Test accuracy .*, \d+ M multiply-adds for one, \d+ s
Written: \S+/{model.keras,metrics.json,test.csv,…}
(Drawn: \S+/focus.png|No focus.png: .*)
"""


def test_a_training_shows_its_own_lines_alone(photos, tmp_path):
    environment = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    where = (f"--dataset=folder:{photos}", f"--run_dir={tmp_path / 'run'}")
    done = subprocess.run(
        [sys.executable, "train.py", *where, *SMALL_MOBILENET, "--epochs=2", "--batch_size=4"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment | {"PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stdout
    lines, expected = done.stdout.splitlines(), QUIET.splitlines()
    assert len(lines) == len(expected), done.stdout
    for line, pattern in zip(lines, expected, strict=True):
        assert re.fullmatch(pattern, line)
