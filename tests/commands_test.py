"""The commands, end to end on a small folder of photos."""

import csv
import io
import json
import os
import pathlib
import subprocess
import sys

import keras
import pytest
from PIL import Image

ROOT = pathlib.Path(__file__).parents[1]
DRAWS = keras.config.backend() == "tensorflow"  # Grad-CAM by tf-keras-vis
TINY_FLAGS = (
    "--backbone=efficientnet_lite0 --weights=none --image_size=64 --glance_size=32 --patch_size=32 "
    "--steps=2 --units=4 --epochs=1 --batch_size=4"
).split()


def command(*arguments, cwd=ROOT, **environment):
    """Run a Python command and return its exit status, standard output and standard error."""
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
    )
    return done.returncode, done.stdout, done.stderr


def last_error(stderr):
    """Return the line that a command ends with on standard error."""
    return stderr.strip().splitlines()[-1]


@pytest.fixture(scope="session")
def run(photos, tmp_path_factory):
    """The directory of a training on `photos`, and what it printed."""
    directory = tmp_path_factory.mktemp("runs") / "tiny"
    status, printed, errors = command(
        "train.py", f"--dataset=folder:{photos}", f"--run_dir={directory}", *TINY_FLAGS
    )
    assert status == 0, errors
    return directory, printed


def test_training_writes_the_run(run):
    directory, printed = run
    names = {path.name for path in directory.iterdir()}
    assert {"model.keras", "config.json", "labels.txt", "history.csv"} <= names
    assert (directory / "labels.txt").read_text() == "blue\ngreen\nred\n"
    assert not [name for name in names if "partial" in name]
    said = list(csv.DictReader((directory / "test.csv").read_text().splitlines()))
    right = [row["label"] == row["logits"] for row in said]
    if DRAWS:
        with Image.open(directory / "focus.png") as picture:
            assert picture.size[0] > 400
    else:
        assert "No focus.png" in printed
    metrics = json.loads((directory / "metrics.json").read_text())
    assert set(metrics) == {
        "test_accuracy",
        "test_top5_accuracy",
        "test_glance_accuracy",
        "test_look_accuracy",
        "val_accuracy",
        "parameters",
        "multiply_adds",
        "train_images_per_second",
        "seconds",
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
    assert f"Test accuracy {metrics['test_accuracy']:.1%}" in printed.splitlines()[-2]
    assert str(directory) in printed.splitlines()[-1]
    rows = list(csv.DictReader((directory / "history.csv").read_text().splitlines()))
    assert float(rows[0]["val_logits_accuracy"]) == pytest.approx(metrics["val_accuracy"])


def test_evaluate_gives_the_training_s_own_figures(run, tmp_path):
    directory, _ = run
    status, printed, errors = command(
        *("-m", "rra_keras.evaluate", f"--run={directory}", "--batch_size=4"),
        f"--csv={tmp_path / 'said.csv'}",
    )
    assert status == 0, errors
    assert (tmp_path / "said.csv").read_text() == (directory / "test.csv").read_text()
    metrics = json.loads((directory / "metrics.json").read_text())
    measured = json.loads(printed.strip().splitlines()[-1])
    assert measured["split"] == "test"
    assert measured["images"] == 6
    for name in ("accuracy", "top5_accuracy", "glance_accuracy", "look_accuracy"):
        assert measured[name] == metrics[f"test_{name}"]


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
        *("-m", "rra_keras.predict", f"--run={directory}", "--csv"),
        *([f"--draw={tmp_path / 'drawn'}"] if DRAWS else []),
        *(upright, broken, turned),
    )
    assert status == 2  # one photo could not be read, the others were
    assert f"{broken}" in last_error(errors)
    rows = list(csv.DictReader(io.StringIO(printed[printed.index("file,rank") :])))
    assert [row["rank"] for row in rows] == ["1", "2", "3"] * 2
    shares = {
        path: {row["class"]: float(row["probability"]) for row in rows if row["file"] == str(path)}
        for path in (upright, turned)
    }
    for path in shares:
        assert sorted(shares[path]) == ["blue", "green", "red"]
        assert sum(shares[path].values()) == pytest.approx(1, abs=1e-5)
    assert shares[turned] == pytest.approx(shares[upright], abs=0.02)
    drawn = {path.name for path in tmp_path.glob("drawn/*")}
    assert drawn == ({"g0_0.png", "turned.png"} if DRAWS else set())


@pytest.mark.parametrize(
    ("flag", "named"),
    [
        ("--epochs=0", "epochs"),
        ("--batch_size=-1", "batch_size"),
        ("--looks=-1", "looks"),
        ("--learning_rate=nan", "learning_rate"),
        ("--learning_rate=-0.1", "learning_rate"),
        ("--augment=all", "augment"),
        ("--patch_size=160x", "patch_size"),
        ("--localizer=nose", "localizer"),
        ("--nonsense=1", "nonsense"),
    ],
)
def test_a_flag_error_is_one_line_before_keras_is_imported(flag, named):
    probe = (
        "import sys; sys.argv = ['train.py', sys.argv[1]]; import train\n"
        "try: train.app.run(train.main, flags_parser=train.parse_flags)\n"
        "finally: print('keras' in sys.modules)"
    )
    status, printed, errors = command("-c", probe, flag)
    assert status == 2
    assert printed.strip() == "False"
    assert errors.startswith("error: ")
    assert named in errors
    assert len(errors.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--dataset=synthetic_brids"], "synthetic_birds"),
        (["--dataset=folder:nowhere"], "nowhere"),
        (["--backbone=efficientnet_lite9"], "efficientnet_lite0"),
        (["--glance_size=8"], "--glance_size"),
        (["--image_size=16"], "--image_size"),
        (["--train_from=block_99"], "train_from"),
        (["--weights=nowhere.h5"], "nowhere.h5"),
    ],
)
def test_bad_input_is_one_line_and_leaves_no_run(photos, tmp_path, flags, named):
    flags = [f"--dataset=folder:{photos}", *flags]
    status, _, errors = command("train.py", f"--run_dir={tmp_path / 'run'}", *flags)
    assert status == 2
    assert last_error(errors).startswith("error: ")
    assert named in last_error(errors)
    assert "Traceback" not in errors
    assert not (tmp_path / "run").exists()


def test_a_used_run_directory_is_kept(run, photos):
    directory, _ = run
    before = (directory / "metrics.json").read_bytes()
    flags = [f"--dataset=folder:{photos}", f"--run_dir={directory}", *TINY_FLAGS]
    status, _, errors = command("train.py", *flags)
    assert status == 2
    assert "--resume" in last_error(errors)
    assert "--overwrite" in last_error(errors)
    status, _, errors = command("train.py", *flags, "--seed=1", "--resume")
    assert status == 2
    assert "seed" in last_error(errors)
    status, printed, errors = command("train.py", *flags, "--resume")
    assert status == 0, errors
    assert "nothing to resume" in printed
    assert (directory / "metrics.json").read_bytes() == before


def test_predict_without_a_run(tmp_path):
    status, _, errors = command("-m", "rra_keras.predict", f"--run={tmp_path}", "photo.jpg")
    assert status == 2
    assert "model.keras" in last_error(errors)


@pytest.mark.parametrize(
    "arguments",
    [
        ("rra_keras.report", "--run=RUN"),
        ("rra_keras.predict", "--run=RUN", "--draw=DRAWN", "photo.jpg"),
        ("export", "--model=MODEL"),
    ],
)
def test_what_needs_tensorflow_says_so_under_jax(arguments):
    status, _, errors = command("-m", *arguments, KERAS_BACKEND="jax")
    assert status == 2
    assert errors.count("error:") == 1
    assert "`KERAS_BACKEND`. Expected 'tensorflow' for" in last_error(errors)
