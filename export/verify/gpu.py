"""Run a file on a GPU: `python -m export.verify.gpu model.tflite images.npy outputs.npz`.

In a process of its own: the first environment settles which GPU a process sees, and a driver that
fails takes its process with it.
"""

import functools
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

import numpy as np

# Chromium's software GPU, which runs on any machine.
_SWIFTSHADER = (
    "/usr/lib/chromium/vk_swiftshader_icd.json",
    "/usr/lib/chromium-browser/vk_swiftshader_icd.json",
    "/opt/google/chrome/vk_swiftshader_icd.json",
)


def measure(path, images):
    """Run a file's signatures on the GPU: a real one, or else Chromium's in software.

    Args:
        path: a file that `rra export` wrote.
        images: `(N, S, S, 3)`.

    Returns:
        A dict: `adapter`, `fully_accelerated`, `unsupported` (what the GPU did not take), and
        unless it failed altogether `seconds` `(N,)` of `full` and `outputs`, see `outputs_of`.
        `None` if there is no GPU.
    """
    for environment in list(_environments()):
        with tempfile.TemporaryDirectory() as folder:
            inputs, outputs = pathlib.Path(folder, "in.npy"), pathlib.Path(folder, "out.npz")
            np.save(inputs, images)
            done = subprocess.run(
                [sys.executable, "-m", __spec__.name, os.path.abspath(path), inputs, outputs],
                capture_output=True,
                text=True,
                env=environment,
                cwd=pathlib.Path(__file__).parents[__spec__.name.count(".")],
            )
            adapter = re.search(r"Selected adapter: ([^,\n]+)", done.stderr)
            if done.returncode == 0 and adapter:
                with np.load(outputs) as arrays:
                    values = dict(arrays)
                _environments().sort(key=lambda other: other is not environment)  # first next time
                return {
                    "adapter": adapter[1],
                    "unsupported": _unsupported(done.stderr),
                    **json.loads(done.stdout.splitlines()[-1]),
                    "outputs": values,
                }
            if adapter:
                reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
                return {"adapter": adapter[1], "fully_accelerated": False, "unsupported": [reason]}
    return None


@functools.cache
def _environments():
    """List the environments to look for a GPU in."""
    drivers = [path for path in _SWIFTSHADER if os.path.exists(path)]
    return [dict(os.environ)] + [{**os.environ, "VK_ICD_FILENAMES": path} for path in drivers[:1]]


def _unsupported(log):
    """Return the lines on which the delegate says what it does not take."""
    _, found, after = log.partition("not supported by GPU delegate:\n")
    return after.partition("operations will run")[0].splitlines()[:-1] if found else []


def outputs_of(classifier, images):
    """Return what each signature says of images.

    Args:
        classifier: an `export.classify.Classifier`.
        images: `(N, S, S, 3)`.

    Returns:
        A dict of `(N, …)` arrays: the outputs of `full`, and with `pieces_` before their names
        those of the other signatures in turn, of only the first fixation.
    """
    results = []
    for image in images:
        outputs = classifier.run("full", images=image[None])
        if "glance" in classifier.outputs:
            seen = classifier.see(image, fixations=1)
            pieces = {name: seen[name] for name in ("logits", "probabilities", "score")}
            pieces["boxes"] = seen["read_boxes"]
            outputs |= {f"pieces_{name}": value[None] for name, value in pieces.items()}
        results.append(outputs)
    return {name: np.concatenate([each[name] for each in results]) for name in results[0]}


def main(argv):
    """Run a model on a file of images and write the outputs; return the exit status."""
    from ..classify import Classifier

    model, inputs, outputs = argv
    classifier = Classifier(model, gpu=True)
    images, seconds = np.load(inputs), []
    for image in images:
        start = time.perf_counter()
        classifier.run("full", images=image[None])
        seconds.append(time.perf_counter() - start)
    np.savez(outputs, **outputs_of(classifier, images))
    print(json.dumps({"fully_accelerated": classifier.fully_accelerated, "seconds": seconds}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
