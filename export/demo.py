"""What the page's demo shows: the default model of the drawn birds, and photos to try it on."""

import pathlib
import subprocess
import sys

_SAMPLES = 8


def default_export():
    """Return the file of the run that `rra train` makes; train and export what is missing.

    Raises:
        OSError: if the training or the export fails.
    """
    from rra_keras.training.config import configure, default_run_dir

    run = pathlib.Path(default_run_dir(configure()))
    file = run / "export" / "model_fp16.tflite"
    steps = [
        (run / "metrics.json", ["train", f"--run_dir={run}", "--resume"]),
        (file, ["export", str(run)]),
    ]
    for made, arguments in steps:
        if not made.is_file():
            said = " ".join(["rra", *arguments])
            print(f"{made} is missing: {said}", flush=True)
            if subprocess.run([sys.executable, "-m", "rra_keras", *arguments]).returncode:
                raise OSError(f"Expected `{said}` to succeed. Received: no")
    return file


def draw_samples(folder):
    """Draw test photos, each called by its species, into a new folder."""
    from rra_keras.datasets.synthetic_birds.builder import generate

    folder.mkdir()
    for index in range(_SAMPLES):
        example = generate("test", index)
        (folder / f"{example['label']}.jpg").write_bytes(example["image"].getvalue())
