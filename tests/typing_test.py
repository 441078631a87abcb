"""The public names are typed: what mypy makes of code that uses them."""

import subprocess
import sys

CODE = """
import pathlib

import rra_keras

run: rra_keras.TrainedRun = rra_keras.train(pathlib.Path("photos"), epochs=1)
rows: list[dict] = run.predict(["a.jpg", pathlib.Path("b")])
figures: dict = run.evaluate("validation")
folder: pathlib.Path = run.export(precision=("fp16",))
again: rra_keras.TrainedRun = rra_keras.TrainedRun.open("runs/photos")
run.predict(3)
"""


def test_public_names_are_typed(tmp_path):
    file = tmp_path / "used.py"
    file.write_text(CODE)
    options = ["--ignore-missing-imports", "--follow-imports=silent"]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *options, "--cache-dir", tmp_path / "cache", file],
        capture_output=True,
        text=True,
    )
    errors = [line for line in done.stdout.splitlines() if ": error:" in line]
    assert len(errors) == 1, done.stdout
    assert 'used.py:11: error: Argument 1 to "predict" of "TrainedRun"' in errors[0]
