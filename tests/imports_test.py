import json
import os
import subprocess
import sys

import numpy as np
import pytest

import rra_keras


def run(code, backend):
    environment = os.environ | {"KERAS_BACKEND": backend}
    result = subprocess.run(
        [sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True
    )
    return result.stdout


@pytest.mark.parametrize(
    ("backend", "unwanted"),
    [
        ("jax", {"tensorflow", "tensorflow_datasets", "keras_cv"}),
        ("tensorflow", {"tensorflow_datasets", "keras_cv"}),
    ],
)
def test_import_is_light(backend, unwanted):
    code = (
        "import json, sys, time, keras\n"
        "start = time.perf_counter()\n"
        "import rra_keras\n"
        "print(json.dumps([time.perf_counter() - start, sorted(sys.modules)]))"
    )
    seconds, modules = json.loads(run(code, backend))
    assert not unwanted & set(modules)
    if seconds >= 0.3:  # once more: the machine may have been busy
        seconds, _ = json.loads(run(code, backend))
    assert seconds < 0.3


LAYERS = """
import sys
import keras
import numpy as np
import rra_keras

inputs = np.load(sys.argv[1])
crops = rra_keras.ZoomCrop((9, 7), "gather")([inputs["images"], inputs["boxes"]])
boxes = rra_keras.CamLocalizer()(inputs["scores"], inputs["scores"])
center = rra_keras.CenterLocalizer()(inputs["scores"])
attention = rra_keras.RecursiveAttention(units=4, steps=3)
looks = [inputs["first"], inputs["second"]]
attention(looks)
attention.set_weights([inputs[f"weight_{i}"] for i in range(len(attention.weights))])
outputs = [crops, boxes, center, *attention(looks)]
np.savez(sys.argv[2], *[keras.ops.convert_to_numpy(output) for output in outputs])
"""


def test_layers_give_the_same_values_under_jax_and_tensorflow(tmp_path):
    rng = np.random.default_rng(0)
    attention = rra_keras.RecursiveAttention(units=4, steps=3)
    attention.build((None, 6))
    weights = {
        f"weight_{i}": rng.normal(size=weight.shape) for i, weight in enumerate(attention.weights)
    }
    arrays = {
        "images": rng.uniform(size=(5, 21, 30, 3)),
        "boxes": rng.uniform(-0.3, 1.3, (5, 4)),
        "scores": rng.normal(size=(5, 7, 7, 3)),
        "first": rng.normal(size=(5, 6)),
        "second": rng.normal(size=(5, 6)),
        **weights,
    }
    np.savez(tmp_path / "inputs.npz", **{k: v.astype("float32") for k, v in arrays.items()})
    results = {}
    for backend in ("jax", "tensorflow"):
        path = tmp_path / f"{backend}.npz"
        code = f"import sys; sys.argv[1:] = {[str(tmp_path / 'inputs.npz'), str(path)]}\n{LAYERS}"
        run(code, backend)
        results[backend] = np.load(path)
    assert len(results["jax"].files) == 6
    for name in results["jax"].files:
        np.testing.assert_allclose(
            results["jax"][name], results["tensorflow"][name], atol=1e-5, err_msg=name
        )


def test_auto_crop_under_jax_gathers_and_tf_image_is_refused():
    code = (
        "import rra_keras\n"
        "assert rra_keras.ZoomCrop(4).supports_jit\n"
        "try:\n"
        "    rra_keras.ZoomCrop(4, 'tf_image')\n"
        "except ValueError as error:\n"
        "    print(error)"
    )
    assert "use 'gather' under 'jax'" in run(code, "jax")
