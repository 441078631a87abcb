import inspect
import os
import subprocess
import sys

import keras
import numpy as np
import pytest

import rra_keras


def run(code, backend):
    environment = os.environ | {"KERAS_BACKEND": backend}
    result = subprocess.run(
        [sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True
    )
    return result.stdout


@pytest.mark.parametrize("backend", ["jax", "tensorflow"])
def test_import_is_light(backend):
    """Beside Keras and NumPy, only the package's own modules of layers and models are imported."""
    code = (
        "import sys, keras, keras.applications\n"
        "before = set(sys.modules)\n"
        "import rra_keras\n"
        "print(*sorted(set(sys.modules) - before))"
    )
    modules = run(code, backend).split()
    assert "rra_keras.models.classifier" in modules
    rooms = {".".join(name.split(".")[:2]) for name in modules if name.startswith("rra_keras.")}
    assert rooms == {
        f"rra_keras.{room}" for room in ("backbones", "layers", "measures", "models", "quiet")
    }
    others = {name.split(".")[0] for name in modules} - {"rra_keras"}
    assert others <= {"difflib", "pickle", "struct"}


def outputs_of_layers(inputs):
    """Return what the layers make of arrays, as arrays."""
    crops = rra_keras.ZoomCrop((9, 7), "gather")([inputs["images"], inputs["boxes"]])
    boxes = rra_keras.CamLocalizer()(inputs["scores"])
    center = rra_keras.CenterLocalizer()(inputs["scores"])
    attention = rra_keras.StepAttention(units=4, steps=3)
    attention(inputs["vector"])
    attention.set_weights([inputs[f"weight_{i}"] for i in range(len(attention.weights))])
    outputs = [crops, boxes, center, *attention(inputs["vector"])]
    return [keras.ops.convert_to_numpy(output) for output in outputs]


def test_layers_give_the_same_values_under_jax_and_tensorflow(tmp_path):
    rng = np.random.default_rng(0)
    attention = rra_keras.StepAttention(units=4, steps=3)
    attention.build((None, 6))
    arrays = {
        "images": rng.uniform(size=(5, 21, 30, 3)),
        "boxes": rng.uniform(-0.3, 1.3, (5, 4)),
        "scores": rng.normal(size=(5, 7, 7, 3)),
        "vector": rng.normal(size=(5, 6)),
        **{f"weight_{i}": rng.normal(size=w.shape) for i, w in enumerate(attention.weights)},
    }
    arrays = {name: array.astype("float32") for name, array in arrays.items()}
    np.savez(tmp_path / "inputs.npz", **arrays)
    code = (
        "import keras\nimport numpy as np\nimport rra_keras\n"
        f"{inspect.getsource(outputs_of_layers)}\n"
        f"with np.load({str(tmp_path / 'inputs.npz')!r}) as inputs:\n"
        f"    np.savez({str(tmp_path / 'outputs.npz')!r}, *outputs_of_layers(inputs))\n"
        # Beside that: how `ZoomCrop` crops under JAX.
        "assert rra_keras.ZoomCrop(4).supports_jit\n"
        "try:\n"
        "    rra_keras.ZoomCrop(4, 'tf_image')\n"
        "except ValueError as error:\n"
        "    print(error)"
    )
    assert "use 'gather' under 'jax'" in run(code, "jax")
    with np.load(tmp_path / "outputs.npz") as outputs:
        assert len(outputs.files) == 6
        for name, expected in zip(outputs.files, outputs_of_layers(arrays), strict=True):
            np.testing.assert_allclose(outputs[name], expected, atol=1e-5, err_msg=name)


def test_it_fits_on_jax_where_there_is_no_tensorflow():
    code = (
        "import sys\n"
        "sys.modules['tensorflow'] = None\n"  # importing it raises ImportError from here on
        "import keras, numpy as np\n"
        "import rra_keras\n"
        "image = keras.Input((None, None, 3))\n"
        "x = keras.layers.Conv2D(4, 3, 8, padding='same', name='block_0')(image)\n"
        "x = keras.layers.Conv2D(4, 3, 2, padding='same', name='block_1')(x)\n"
        "backbone = keras.Model(image, x)\n"
        "photos = np.random.default_rng(0).integers(0, 255, (8, 64, 64, 3)).astype('uint8')\n"
        "labels = np.arange(8) % 2\n"
        "objects = rra_keras.find_objects(\n"
        "    photos, labels, backbone, glance_size=32, one_object=True)\n"
        "model = rra_keras.RRAClassifier.from_preset('edge', 2, objects=objects)\n"
        "model.compile('sgd')\n"
        "model.fit(photos, labels, batch_size=4, verbose=0)\n"
        "print(model.predict(photos, verbose=0).shape)"
    )
    assert run(code, "jax").splitlines()[-1] == "(8, 2)"
