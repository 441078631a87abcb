"""The wheel, installed outside of the clone: everything a user needs is in it."""

import csv
import os
import pathlib
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile

import keras
import pytest
from conftest import SMALL_MOBILENET

ROOT = pathlib.Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel of a copy of the clone, as setuptools keeps what it built before."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    for name in ("rra_keras", "export"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, folder]
    subprocess.run(command, check=True, capture_output=True, text=True)
    (built,) = folder.glob("*.whl")
    return built


def test_it_holds_each_file_of_the_package_and_no_other_name(wheel):
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    for top, below in ((ROOT / "rra_keras", "rra_keras"), (ROOT / "export", "rra_keras/export")):
        for path in top.rglob("*"):
            parts = path.relative_to(top).parts
            made = any(part.startswith((".", "__pycache__")) for part in parts)
            if path.is_file() and not made and path.suffix != ".md":
                assert f"{below}/{path.relative_to(top).as_posix()}" in held
    assert {name.split("/")[0] for name in held} == {"rra_keras"}


@pytest.mark.skipif(keras.config.backend() != "tensorflow", reason="TensorFlow only: exports")
def test_it_trains_predicts_exports_and_classifies(wheel, photos, tmp_path):
    python, rra = (tmp_path / "new" / "bin" / name for name in ("python", "rra"))
    for command in (
        [sys.executable, "-m", "venv", tmp_path / "new"],
        [python, "-m", "pip", "install", "-q", "--no-deps", wheel],  # its scripts run that Python
    ):
        subprocess.run(command, check=True, capture_output=True)
    packages = next((tmp_path / "new").rglob("site-packages"))
    # The other packages are those of this environment; its editable install is not seen there.
    (packages / "others.pth").write_text(sysconfig.get_path("purelib"))
    hidden = ("PYTHONPATH", "TF_CPP_MIN_LOG_LEVEL")
    environment = {k: v for k, v in os.environ.items() if k not in hidden}
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(photos, elsewhere / "photos")

    def run(*command):
        done = subprocess.run(
            command, cwd=elsewhere, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        return done.stdout

    code = "import importlib.util as u; print(u.find_spec('rra_keras').origin)"
    assert pathlib.Path(run(python, "-c", code).strip()).is_relative_to(packages)
    assert f"#!{python}" in rra.read_text()
    assert "rra export RUN" in run(rra, "--help")
    flags = ["--dataset=photos", "--run_dir=run", *SMALL_MOBILENET, "--epochs=1", "--batch_size=4"]
    assert "Test accuracy" in run(rra, "train", *flags)
    photo = "photos/red/g0_0.png"
    said = list(csv.DictReader(run(rra, "predict", "run", photo, "--csv=-").splitlines()))
    assert [row["file"] for row in said] == [photo]
    quick = ["--precision=fp32", "--verify_images=1", "--latency_runs=1", "--gpu_images=0"]
    assert re.search(r"Written: run.export", run(rra, "export", "run", *quick))
    device = elsewhere / "classify.py"
    shutil.copy(packages / "rra_keras" / "export" / "classify.py", device)
    file = "run/export/model_fp32.tflite"
    on_device = list(csv.DictReader(run(python, device, file, photo, "--csv=-").splitlines()))
    assert [row["predicted"] for row in on_device] == [row["predicted"] for row in said]
    assert list(on_device[0]) == list(said[0])
