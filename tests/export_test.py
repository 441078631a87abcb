"""Export: what the files hold, and that they say what Keras says."""

import dataclasses
import json
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
from conftest import tensorflow_only

from export import flatbuffer, glance, gpu, inference, quantize, saved_model, tflite, verify
from export.classify import Classifier

pytestmark = tensorflow_only("export")
ROOT = pathlib.Path(__file__).parents[1]
LABELS = ["blue", "green", "red"]


@pytest.fixture(scope="module")
def images(batch):
    return batch[0][:4].astype("float32")


@pytest.fixture(scope="module")
def signatures(trained):
    return inference.Signatures(inference.rebuild(trained, "gather"))


@pytest.fixture(scope="module")
def contents(signatures, images):
    """Each TFLite file's content, of a classifier with two looks."""
    return tflite.convert(signatures, images=list(images[:, None]))


@pytest.fixture(scope="module")
def files(contents, tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    for precision, content in contents.items():
        metadata = {"image_size": 64, "confidence": 0.5}
        whole = tflite.attach(content, LABELS, metadata)
        (folder / f"model_{precision}.tflite").write_bytes(whole)
    return folder


def test_a_glance_and_a_focus_make_the_whole(signatures, images):
    images = keras.ops.convert_to_tensor(images)
    full = signatures.full(images)
    seen = signatures.glance(images)
    focused = signatures.focus(images, seen["boxes"], seen["logits"])
    assert full["boxes"].shape == (4, 2, 4)
    for name, value in full.items():
        np.testing.assert_allclose(focused[name], value, atol=1e-5, err_msg=name)
    np.testing.assert_allclose(seen["boxes"], full["boxes"][:, :1], atol=1e-6)


def test_rebuilt_with_the_other_crop_says_the_same(trained, signatures, images):
    view = trained.view("logits", "boxes", "step_weights").predict(images, verbose=0)
    full = signatures.full(images)
    for name, value in view.items():
        np.testing.assert_allclose(full[name], value, atol=1e-4, err_msg=name)
    np.testing.assert_allclose(keras.ops.sum(full["probabilities"], axis=-1), 1.0, atol=1e-6)


@pytest.mark.parametrize(
    ("precision", "tolerance"), [("fp32", 1e-4), ("fp16", 1e-2), ("int8", 0.2)]
)
def test_files_say_what_keras_says(files, trained, images, precision, tolerance):
    classifier = Classifier(files / f"model_{precision}.tflite")
    expected = trained.view("logits", "boxes", "glance_logits").predict(images, verbose=0)
    spread = np.ptp(expected["logits"])
    for index, image in enumerate(images[:, None]):
        full = classifier.run("full", images=image)
        seen = classifier.run("glance", images=image)
        focused = classifier.run("focus", images=image, boxes=seen["boxes"], logits=seen["logits"])
        for name, value in full.items():
            assert value.dtype == np.float32
            np.testing.assert_allclose(focused[name], value, atol=1e-5, err_msg=name)
        apart = full["logits"][0] - expected["logits"][index]
        assert np.abs(apart).max() < tolerance * max(spread, 1.0)
        np.testing.assert_allclose(full["boxes"][0], expected["boxes"][index], atol=tolerance)
        apart = seen["logits"][0] - expected["glance_logits"][index]
        assert np.abs(apart).max() < tolerance * max(spread, 1.0)


def test_files_hold_builtins_alone_and_weights_once(contents, trained):
    for precision, content in contents.items():
        model = flatbuffer.read(content)
        counts = flatbuffer.histogram(model)
        assert set(counts) == {"full", "glance", "focus"}, precision
        for operators in counts.values():
            assert not [name for name in operators if name.startswith("custom")]
        costs = flatbuffer.multiply_adds(model)
        assert costs["glance"] + costs["focus"] == costs["full"]
    weights = sum(int(keras.ops.size(weight)) for weight in trained.weights) * 4
    constants = {
        bytes(b.data) for b in flatbuffer.read(contents["fp32"]).buffers if b.data is not None
    }
    assert weights * 0.9 < sum(map(len, constants)) < weights + 50_000


def test_multiply_adds_of_a_file_are_those_of_the_graph(build):
    from rra_keras.models import costs

    model = build(steps=1)  # more steps share the product of their common input in the file
    content = tflite.convert(inference.Signatures(inference.rebuild(model, "gather")), ["fp32"])
    counted = flatbuffer.multiply_adds(flatbuffer.read(content["fp32"]))["full"]
    assert counted == pytest.approx(costs.multiply_adds(model), rel=0.02)


def test_int8_computes_in_integers_but_for_what_they_would_harm(contents):
    kinds = flatbuffer.arithmetic(flatbuffer.read(contents["int8"]))
    assert kinds["int8 weights"]["FULLY_CONNECTED"] > 4
    assert {"BATCH_MATMUL", "SOFTMAX", "LOGISTIC"} <= set(kinds["float32"])
    assert "int8" not in flatbuffer.arithmetic(flatbuffer.read(contents["fp32"]))


def test_int8_keeps_the_first_strides_in_float(contents, images):
    def integers(stride):
        content = quantize.int8(contents["fp32"], list(images[:, None]), stride)
        return flatbuffer.arithmetic(flatbuffer.read(content))["int8 weights"]

    assert integers(1)["CONV_2D"] == 6  # two convolutions, of a view and two looks
    assert integers(4)["CONV_2D"] == 3
    assert "CONV_2D" not in integers(8)


def test_int8_convolutions_are_exact_on_their_mean_input(contents, images):
    images = list(images[:, None])
    means = quantize._input_means(contents["fp32"], images)
    files = [contents["fp32"], quantize.int8(contents["fp32"], images, stride=1)]

    def responses(content):
        """Yield each convolution's kernel, and what it and its bias make of given inputs."""
        model = flatbuffer.read(content)
        for subgraph in model.subgraphs:
            for operator, _ in quantize._convolutions(model, subgraph):
                kernel, bias = (subgraph.tensors[index] for index in operator.inputs[1:])
                stored = flatbuffer.constant(model, kernel)
                values = np.frombuffer(stored, "float32" if kernel.type == 0 else "int8")
                values = values.reshape(kernel.shape)
                if kernel.type != 0:
                    values = values * np.reshape(kernel.quantization.scale, (-1, 1, 1, 1))
                offset = np.frombuffer(flatbuffer.constant(model, bias), "float32")
                yield stored, values.sum((1, 2)), offset

    pairs = list(zip(*map(responses, files), strict=True))
    assert len(pairs) == 12  # two convolutions: full looks three times, glance once, focus twice
    for (exact, weights, bias), (rounded, near, corrected) in pairs:
        assert rounded != exact
        answer = weights @ means[exact] + bias
        np.testing.assert_allclose(near @ means[exact] + corrected, answer, atol=1e-5)
        assert np.abs(near @ means[exact] + bias - answer).max() > 1e-4


def test_half_keeps_small_weights_whole(contents):
    def halves(content):
        tensors = [t for s in flatbuffer.read(content).subgraphs for t in s.tensors]
        return sum(tensor.type == 1 for tensor in tensors)  # FLOAT16

    assert halves(contents["fp16"]) == 0  # nothing here has 65,536 weights
    assert halves(quantize.half(contents["fp32"], least=1000)) > 0


def test_saved_model_is_batch_polymorphic_and_needs_tensorflow_alone(trained, images, tmp_path):
    signatures = inference.Signatures(inference.rebuild(trained, "tf_image"))
    saved_model.write(signatures, tmp_path / "saved", {"serving_default": "full"})
    np.save(tmp_path / "images.npy", images)
    code = (
        "import sys, numpy as np, tensorflow as tf\n"
        "serve = tf.saved_model.load(sys.argv[1] + '/saved').signatures['serving_default']\n"
        "images = np.load(sys.argv[1] + '/images.npy')\n"
        "assert len(serve(images=images[:1])['boxes']) == 1\n"
        "outputs = {k: v.numpy() for k, v in serve(images=images).items()}\n"
        "np.savez(sys.argv[1] + '/out.npz', **outputs)\n"
        "assert not any(name.split('.')[0] == 'rra_keras' for name in sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path], check=True, capture_output=True)
    outputs = np.load(tmp_path / "out.npz")
    assert set(outputs) == {"logits", "probabilities", "boxes", "step_weights"}
    expected = trained.predict(images, verbose=0)
    np.testing.assert_allclose(outputs["logits"], expected, atol=1e-4)


def test_the_plain_backbone_has_one_signature(build, images, tmp_path):
    model = build(looks=0)
    content = tflite.convert(inference.Signatures(inference.rebuild(model, "gather")), ["fp32"])
    path = tmp_path / "plain.tflite"
    metadata = {"image_size": 64, "confidence": None}
    path.write_bytes(tflite.attach(content["fp32"], LABELS, metadata))
    classifier = Classifier(path)
    assert classifier.outputs == {"full": {"logits": (1, 3), "probabilities": (1, 3)}}
    logits = classifier.run("full", images=images[:1])["logits"]
    np.testing.assert_allclose(logits, model.predict(images[:1], verbose=0), atol=1e-5)


@pytest.mark.parametrize("looks", [1, 2, 3])
def test_every_op_runs_on_the_gpu(build, images, tmp_path, looks):
    model = build(looks=looks, steps=1 if looks == 3 else 2, patch_size=(32, 48))
    signatures = inference.Signatures(inference.rebuild(model, "gather"))
    for precision, content in tflite.convert(signatures, ["fp32", "fp16"]).items():
        path = tmp_path / f"{precision}.tflite"
        path.write_bytes(tflite.attach(content, LABELS, {"image_size": 64, "confidence": 0.5}))
        measured = gpu.measure(path, images[:2])
        if measured is None:
            pytest.skip("no GPU found: apt-get install chromium (its SwiftShader) libvulkan1")
        assert measured["fully_accelerated"], measured["unsupported"]
        on_cpu = Classifier(path).run("full", images=images[1:2])
        for name, value in on_cpu.items():
            on_gpu = measured["outputs"][name][1:]
            np.testing.assert_allclose(on_gpu, value, atol=1e-3, err_msg=name)


def test_what_the_gpu_refuses_is_told():
    log = (
        "ERROR: Following operations are not supported by GPU delegate:\nSUB: why\nFOO: not\n"
        "228 operations will run on the GPU, and the remaining 108 operations will run on the CPU."
    )
    assert gpu._unsupported(log) == ["SUB: why", "FOO: not"]


def test_glance_curve_and_threshold():
    big, small = 4.0, 0.1
    sure_right = [[big, 0.0], [big, 0.0]]
    doubtful = [[small, 0.0], [small, 0.0]]
    glance_logits = np.array([*sure_right, *doubtful])
    full_logits = np.array([[1.0, 0], [1.0, 0], [0, 1.0], [0, 1.0]])
    labels = np.array([0, 0, 1, 1])
    points = glance.curve(glance_logits, full_logits, labels, 10.0, 100.0)
    np.testing.assert_allclose(points["share"], [1.0, 0.5, 0.0])
    np.testing.assert_allclose(points["accuracy"], [0.5, 1.0, 1.0])
    np.testing.assert_allclose(points["multiply_adds"], [10.0, 55.0, 100.0])
    assert glance.calibrate(points) == 1
    assert glance.calibrate(points, loss=0.5) == 0
    assert glance.thin(points, 2)[0]["multiply_adds"] == 10.0


def row(**changes):
    measured = {
        "finite": True,
        "accuracy": 0.8,
        "accuracy_error": 0.0,
        "agreement": 1.0,
        "boxes_max_difference": 1e-6,
        "boxes_p99_difference": 1e-6,
        "focus_max_difference": 0.0,
        "flex_operators": [],
        "gpu": {
            "fully_accelerated": True,
            "unsupported": [],
            "max_difference": {"probabilities": 1e-5, "boxes": 1e-6},
        },
    }
    return measured | changes


@pytest.mark.parametrize(
    ("name", "changes", "expected"),
    [
        ("fp32", {}, None),
        ("fp32", {"finite": False}, "not finite"),
        ("fp32", {"agreement": 0.99}, "99.00%"),
        ("fp16", {"agreement": 0.996}, None),
        ("fp16", {"boxes_p99_difference": 0.02}, "boxes_p99"),
        ("fp32", {"boxes_max_difference": None}, "boxes_max"),
        ("int8", {"accuracy": 0.785, "agreement": 0.9}, "78.50%"),
        ("int8", {"accuracy": 0.795, "agreement": 0.9}, None),
        ("int8", {"accuracy": 0.785, "accuracy_error": 0.01}, None),
        ("int8", {"accuracy": 0.77, "accuracy_error": 0.01}, "77.00%"),
        ("int8", {"focus_max_difference": 1.0}, "glance"),
        ("fp32", {"flex_operators": ["custom:FlexCropAndResize"]}, "FlexCropAndResize"),
        ("fp16", {"gpu": row()["gpu"] | {"fully_accelerated": False}}, "whole on the GPU"),
        ("fp32", {"gpu": row()["gpu"] | {"max_difference": {"boxes": 0.5}}}, "differs"),
        ("fp32", {"gpu": None}, None),
    ],
)
def test_checks(name, changes, expected):
    found = verify.failures(f"model_{name}.tflite", row(**changes), accuracy=0.8, images=500)
    assert bool(found) == bool(expected)
    assert expected is None or expected in found[0]


def test_error_of_an_accuracy_is_that_of_paired_images():
    keras_logits = np.eye(2)[[0, 0, 1, 1]]
    images = verify.Images(None, np.array([0, 0, 0, 1]), {"logits": keras_logits})
    compared = verify.compare({"logits": np.eye(2)[[0, 1, 0, 1]]}, images)
    assert compared["accuracy"] == 0.75  # one right less, one more, as Keras has
    assert compared["accuracy_error"] == pytest.approx(np.sqrt(2 / 4) / np.sqrt(4))
    assert verify.compare({"logits": keras_logits}, images)["accuracy_error"] == 0.0


def command(*arguments):
    done = subprocess.run(
        [sys.executable, "-m", "export", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    return done.returncode, done.stdout, done.stderr.strip().splitlines()


@pytest.fixture(scope="module")
def run(trained, photos, tmp_path_factory):
    """A run directory as training leaves it."""
    from rra_keras.training.config import configure
    from rra_keras.training.run import Run

    directory = tmp_path_factory.mktemp("run")
    written = Run(directory)
    written.write_json("config.json", dataclasses.asdict(configure(dataset=f"folder:{photos}")))
    written.write_text("labels.txt", "blue\ngreen\nred\n")
    trained.save(directory / "model.keras")
    return directory


QUICK = ("--verify_images=8", "--calibration_images=4", "--latency_runs=1", "--gpu_images=0")


def test_the_command_writes_everything_or_nothing(run, tmp_path):
    out = tmp_path / "out"
    arguments = (f"--model={run / 'model.keras'}", f"--out={out}", *QUICK)
    # Integers may well fail so small a model: its failure is the case of nothing.
    status, printed, errors = command(*arguments, "--precision=fp32", "--precision=fp16")
    assert status == 0, errors
    assert {path.name for path in out.iterdir()} == {
        "saved_model",
        "model_fp32.tflite",
        "model_fp16.tflite",
        "report.json",
    }
    assert "model_fp16.tflite" in printed
    report = json.loads((out / "report.json").read_text())
    assert report["images"]["compared"] >= 8
    assert set(report["files"]) == {"saved_model", "model_fp32.tflite", "model_fp16.tflite"}
    for measured in report["files"].values():
        assert measured["agreement"] == 1.0
        assert measured["finite"]
    assert set(report["files"]["model_fp32.tflite"]["latency_ms"]) == {"1_threads", "2_threads"}
    assert Classifier(out / "model_fp32.tflite").confidence == report["glance"]["confidence"]

    status, _, errors = command(*arguments)
    assert (status, "--overwrite" in errors[-1]) == (2, True)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"not a model", "model.keras that training wrote"), (None, "no file")],
)
def test_other_files_are_refused(tmp_path, run, content, message):
    for name in ("config.json", "labels.txt"):
        (tmp_path / name).write_bytes((run / name).read_bytes())
    if content:
        (tmp_path / "model.keras").write_bytes(content)
    status, _, errors = command(f"--model={tmp_path / 'model.keras'}", f"--out={tmp_path / 'out'}")
    assert status == 2
    assert message in errors[-1]
    assert not (tmp_path / "out").exists()


def test_other_models_and_labels_are_refused(tmp_path, trained):
    from export import trained as reopened

    other = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    other.save(tmp_path / "other.keras")
    with pytest.raises(ValueError, match="Expected an RRAClassifier"):
        reopened.load_model(tmp_path / "other.keras", LABELS)
    trained.save(tmp_path / "model.keras")
    with pytest.raises(ValueError, match="3 classes, 2 labels"):
        reopened.load_model(tmp_path / "model.keras", LABELS[:2])
    with pytest.raises(ValueError, match=r"without config.json"):
        reopened.open_run(tmp_path / "model.keras")


def test_a_folder_of_other_files_is_never_replaced(tmp_path):
    from export.__main__ import check_available

    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(ValueError, match="holds other files"):
        check_available(tmp_path, overwrite=True)
    check_available(tmp_path / "new", overwrite=False)
    with pytest.raises(ValueError, match="Expected a folder"):
        check_available(tmp_path / "thesis.txt", overwrite=True)


def test_contenders_are_timed_in_turn():
    from export import benchmark

    calls = []
    seconds = benchmark.in_turn([lambda: calls.append("a"), lambda: calls.append("b")], runs=2)
    assert "".join(calls) == "ab" * 5
    assert seconds.shape == (2, 2)
    contender = benchmark.Contender("fp32", 10, 3, 0, 7, None)
    line = benchmark.row(contender, np.array([0.001, 0.002, 0.003]))
    assert line == {
        "name": "fp32",
        "bytes": 10,
        "operators": 3,
        "flex_operators": 0,
        "multiply_adds": 7,
        "median_ms": 2.0,
        "p90_ms": 2.8,
    }


def test_the_naive_export_needs_flex_and_ours_does_not(build):
    from export import benchmark

    naive = benchmark.naive(build())
    assert naive.flex_operators == 1
    assert benchmark.row(naive, None)["median_ms"] is None
