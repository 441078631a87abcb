"""Export: what the files hold, and that they say what Keras says."""

import contextlib
import dataclasses
import io
import json
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import tensorflow_only, vote_at_random

from export import __main__, accuracy, benchmark, output_folder
from export.classify import Classifier
from export.convert import flatbuffer, inference, quantize, tflite
from export.verify import gpu
from export.write import metadata
from rra_keras import data
from rra_keras.layers.zoom_crop import zoom_crop
from rra_keras.measures.calibration import probabilities
from rra_keras.models import TwoStreamClassifier
from rra_keras.runs import Run
from rra_keras.trained import TrainedRun

pytestmark = tensorflow_only("export")
LABELS = ["blue", "green", "red"]
QUICK = ("--verify_images=8", "--calibration_images=4", "--latency_runs=1", "--gpu_images=0")


def status_of(main, *arguments):
    """Run a command in this process and return its exit status."""
    try:
        return main([str(argument) for argument in arguments])
    except SystemExit as stopped:
        return stopped.code


def write_tflite(path, content, model):
    path.write_bytes(tflite.attach(content, LABELS, metadata(model)))
    return path


@pytest.fixture(scope="module")
def images(batch):
    return batch[0][:4].astype("float32")


@pytest.fixture(scope="module")
def signatures(distinct):
    return inference.Signatures(inference.rebuild(distinct, "gather"))


@pytest.fixture(scope="module")
def files(tflite_contents, distinct, tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    for precision, content in tflite_contents.items():
        write_tflite(folder / f"model_{precision}.tflite", content, distinct)
    return folder


@pytest.fixture(scope="module")
def int8_from_the_first_stride(tflite_contents, images):
    return quantize.int8(tflite_contents["fp32"], list(images[:, None]), stride=1)


@pytest.fixture(scope="module")
def model(build):
    """A small classifier of two fixations, whose crop is wider than high."""
    keras.utils.set_random_seed(0)
    model = build(crop_size=(32, 48), train_from="block_1")
    vote_at_random(model.attention.localizer)
    model.calibration.temperature, model.calibration.known_from = 2.0, -1.5
    return model


@pytest.fixture(scope="module")
def run(model, photos, tmp_path_factory):
    """A run directory of `model`, as training leaves it."""
    from rra_keras.training.config import configure

    directory = tmp_path_factory.mktemp("run")
    written = Run(directory)
    config = configure(dataset=f"folder:{photos}")
    written.write_json("config.json", dataclasses.asdict(config))
    written.write_text("labels.txt", "blue\ngreen\nred\n")
    written.write_splits(data.load(config.dataset))
    model.save(directory / "model.keras")
    return directory


@pytest.fixture(scope="module")
def exported(run):
    """What `python -m export` made of `run`: the folder, and what was printed."""
    # Without int8: so small a model may well fail its check.
    chosen = ("--precision=fp32", "--precision=fp16")
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        status = status_of(__main__.main, f"--run={run}", *QUICK, *chosen)
    assert status == 0
    return run / "export", printed.getvalue()


def test_pieces_in_turn_make_the_whole(signatures, distinct, images):
    # Crops cut outside of the graph, and for each fixation as many refinements as it needs.
    names = ("glance", "refinements", "boxes", "fixation_logits", "fixation_scores")
    told = distinct.view(*names).predict(images, verbose=0)
    assert {0, 2} <= set(told["refinements"].ravel())
    whole = signatures.full(keras.ops.convert_to_tensor(images))
    for index in range(4):
        image = images[index : index + 1]
        glance = signatures.glance(told["glance"][index : index + 1])
        for k in range(3):
            seen = {name: value[:, k] for name, value in glance.items() if name != "votes"}
            for _ in range(int(told["refinements"][index, k])):
                assert not seen["framed"].numpy().item()
                seen = signatures.refine(zoom_crop(image, seen["view"], (32, 32)), seen["view"])
            np.testing.assert_allclose(seen["object"][0], told["boxes"][index, k], atol=1e-4)
            np.testing.assert_allclose(seen["box"][0], whole["boxes"][index, k], atol=1e-4)
            read = signatures.read(zoom_crop(image, seen["box"], (32, 32)))
            expected = told["fixation_logits"][index, k]
            np.testing.assert_allclose(read["logits"][0], expected, atol=1e-2)
            expected = told["fixation_scores"][index, k]
            np.testing.assert_allclose(read["score"].numpy().item(), expected, atol=1e-2)


def test_rebuilt_with_the_other_crop_says_the_same(distinct, signatures, images):
    names = ("logits", "score", "read_boxes", "fixation_weights")
    view = distinct.view(*names).predict(images, verbose=0)
    full = signatures.full(images)
    for ours, theirs in (
        ("logits", "logits"),
        ("score", "score"),
        ("boxes", "read_boxes"),
        ("weights", "fixation_weights"),
    ):
        np.testing.assert_allclose(full[ours], view[theirs], atol=2e-2, err_msg=ours)
    np.testing.assert_allclose(keras.ops.sum(full["probabilities"], axis=-1), 1.0, atol=1e-6)


def test_probabilities_are_of_logits_divided_by_the_temperature(exported, images):
    file = Classifier(exported[0] / "model_fp32.tflite")
    assert (file.temperature, file.known_from) == (2.0, -1.5)
    for outputs in (file.run("full", images=images[:1]), file.see(images[0])):
        expected = probabilities(outputs["logits"], 2.0)
        np.testing.assert_allclose(outputs["probabilities"], expected, atol=1e-6)


@pytest.mark.parametrize(
    ("precision", "tolerance"), [("fp32", 1e-3), ("fp16", 1e-2), ("int8", 0.2)]
)
def test_files_say_what_keras_says(files, distinct, images, precision, tolerance):
    classifier = Classifier(files / f"model_{precision}.tflite")
    names = ("logits", "score", "read_boxes", "fixation_weights")
    expected = distinct.view(*names).predict(images, verbose=0)
    spread = max(np.ptp(expected["logits"]), 1.0)
    for index, image in enumerate(images):
        full = classifier.run("full", images=image[None])
        pieces = classifier.see(image)
        for said in (full["logits"][0], pieces["logits"]):
            apart = said - expected["logits"][index]
            assert np.abs(apart).max() < tolerance * spread
        apart = full["score"].item() - expected["score"][index].item()
        assert abs(apart) < 10 * tolerance * spread  # a root of squares
        read = expected["fixation_weights"][index] > 0
        boxes = expected["read_boxes"][index, read]
        np.testing.assert_allclose(full["boxes"][0, read], boxes, atol=tolerance)
        np.testing.assert_allclose(pieces["read_boxes"], boxes, atol=tolerance)


def test_files_hold_builtins_alone_and_weights_once(tflite_contents, distinct):
    for precision, content in tflite_contents.items():
        model = flatbuffer.read(content)
        counts = flatbuffer.histogram(model)
        assert set(counts) == {"full", "glance", "refine", "read"}, precision
        for operators in counts.values():
            assert not [name for name in operators if name.startswith("custom")]
        costs = flatbuffer.multiply_adds(model)
        # The whole reads three places, each refined twice.
        assert costs["glance"] + 6 * costs["refine"] + 3 * costs["read"] == costs["full"]
    weights = sum(int(keras.ops.size(weight)) for weight in distinct.weights) * 4
    constants = {
        bytes(buffer.data)
        for buffer in flatbuffer.read(tflite_contents["fp32"]).buffers
        if buffer.data is not None
    }
    assert weights * 0.9 < sum(map(len, constants)) < weights + 50_000


def test_multiply_adds_of_a_file_are_those_of_the_graph(exported):
    report = json.loads((exported[0] / "report.json").read_text())
    costs = report["files"]["model_fp32.tflite"]["multiply_adds"]
    one_fixation = costs["glance"] + costs["refine"] + costs["read"]
    assert one_fixation == report["keras"]["multiply_adds"]


def test_int8_computes_in_integers_but_for_what_they_would_harm(tflite_contents):
    kinds = flatbuffer.arithmetic(flatbuffer.read(tflite_contents["int8"]))
    assert kinds["int8 weights"]["FULLY_CONNECTED"] >= 1
    assert {"GATHER", "SOFTMAX", "LOGISTIC"} <= set(kinds["float32"])
    assert "int8" not in flatbuffer.arithmetic(flatbuffer.read(tflite_contents["fp32"]))


@pytest.mark.parametrize(
    ("activation", "names"),
    [("relu6", []), ("relu", []), ("hard_silu", ["HARD_SWISH"]), ("silu", ["LOGISTIC", "MUL"])],
)
def test_activations_that_keep_convolutions_in_float_are_named(activation, names):
    inputs = keras.Input((16, 16, 3), batch_size=1)
    x = keras.layers.Conv2D(4, 3, strides=2, activation=activation)(inputs)
    model = keras.Model(inputs, keras.layers.Conv2D(4, 3)(x))
    content = tf.lite.TFLiteConverter.from_keras_model(model).convert()
    assert quantize.unfused(content) == names


def test_int8_keeps_the_first_strides_in_float(tflite_contents, int8_from_the_first_stride, images):
    def integers(content):
        return flatbuffer.arithmetic(flatbuffer.read(content))["int8 weights"]

    # Two of the crops, four of each view: the glance's, and two that hold all places.
    assert integers(int8_from_the_first_stride)["CONV_2D"] == 14
    beyond_4 = quantize.int8(tflite_contents["fp32"], list(images[:1, None]), stride=4)
    assert integers(beyond_4)["CONV_2D"] == 1  # the crops' second: views have no more strides
    assert "CONV_2D" not in integers(tflite_contents["int8"])  # beyond 8


def test_int8_convolutions_are_exact_on_their_mean_input(
    tflite_contents, int8_from_the_first_stride, images
):
    means = quantize._input_means(tflite_contents["fp32"], list(images[:, None]))
    files = [tflite_contents["fp32"], int8_from_the_first_stride]

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
    assert len(pairs) == 14 + 4 + 4 + 2  # full, glance, refine, read
    for (exact, weights, bias), (rounded, near, corrected) in pairs:
        assert rounded != exact
        answer = weights @ means[exact] + bias
        np.testing.assert_allclose(near @ means[exact] + corrected, answer, atol=1e-5)
        assert np.abs(near @ means[exact] + bias - answer).max() > 1e-4


def test_half_keeps_small_weights_whole(tflite_contents):
    def halves(content):
        tensors = [t for s in flatbuffer.read(content).subgraphs for t in s.tensors]
        return sum(tensor.type == 1 for tensor in tensors)  # FLOAT16

    assert halves(tflite_contents["fp16"]) == 0  # nothing here has 140,000 weights
    assert halves(quantize.half(tflite_contents["fp32"], least=1000)) > 3


def test_saved_model_is_batch_polymorphic_and_needs_tensorflow_alone(
    exported, model, images, tmp_path
):
    np.save(tmp_path / "images.npy", images)
    code = (
        "import sys, numpy as np, tensorflow as tf\n"
        "serve = tf.saved_model.load(sys.argv[1]).signatures['serving_default']\n"
        "images = np.load(sys.argv[2] + '/images.npy')\n"
        "assert len(serve(images=images[:1])['boxes']) == 1\n"
        "outputs = {k: v.numpy() for k, v in serve(images=images).items()}\n"
        "np.savez(sys.argv[2] + '/out.npz', **outputs)\n"
        "assert not any(name.split('.')[0] == 'rra_keras' for name in sys.modules)\n"
    )
    command = [sys.executable, "-c", code, exported[0] / "saved_model", tmp_path]
    subprocess.run(command, check=True, capture_output=True)
    outputs = np.load(tmp_path / "out.npz")
    assert set(outputs) == {"logits", "probabilities", "score", "boxes", "weights"}
    expected = model.predict(images, verbose=0)
    np.testing.assert_allclose(outputs["logits"], expected, atol=1e-4)


def test_the_papers_network_has_one_signature(backbone):
    options = {"local_backbone": backbone, "image_size": 64, "crop_size": 32, "units": 4}
    signatures = inference.Signatures(TwoStreamClassifier(backbone, 3, steps=2, **options))
    assert set(signatures.inputs) == {"full"}
    said = signatures.full(np.zeros((1, 64, 64, 3), "float32"))
    assert set(said) == {"logits", "probabilities", "score"}


def test_the_plain_backbone_has_one_signature(plain, images, tmp_path):
    model, content = plain
    classifier = Classifier(write_tflite(tmp_path / "plain.tflite", content, model))
    outputs = {"logits": (1, 3), "probabilities": (1, 3), "score": (1, 1)}
    assert classifier.outputs == {"full": outputs}
    logits = classifier.run("full", images=images[:1])["logits"]
    np.testing.assert_allclose(logits, model.predict(images[:1], verbose=0), atol=1e-5)


@pytest.fixture
def gpu_file(request, exported, tflite_contents, distinct, tmp_path):
    """A model file for the GPU."""
    if request.param == "two fixations":
        return exported[0] / "model_fp32.tflite"
    content = quantize.half(tflite_contents["fp32"], least=1000)  # fp32's ops, and casts
    return write_tflite(tmp_path / "model.tflite", content, distinct)


@pytest.mark.parametrize("gpu_file", ["two fixations", "three, refined, fp16"], indirect=True)
def test_every_op_of_every_signature_runs_on_the_gpu(gpu_file, images):
    measured = gpu.measure(gpu_file, images[:2])
    if measured is None:
        pytest.skip("no GPU found: apt-get install chromium (its SwiftShader) libvulkan1")
    assert measured["fully_accelerated"], measured["unsupported"]
    on_cpu = gpu.outputs_of(Classifier(gpu_file), images[:2])
    for name, value in on_cpu.items():
        np.testing.assert_allclose(measured["outputs"][name], value, atol=5e-3, err_msg=name)


def test_what_the_gpu_does_not_support_is_listed():
    log = (
        "ERROR: Following operations are not supported by GPU delegate:\nSUB: why\nFOO: not\n"
        "228 operations will run on the GPU, and the remaining 108 operations will run on the CPU."
    )
    assert gpu._unsupported(log) == ["SUB: why", "FOO: not"]


def test_the_command_writes_and_measures_everything(exported):
    out, printed = exported
    assert {path.name for path in out.iterdir()} == {
        "saved_model",
        "model_fp32.tflite",
        "model_fp16.tflite",
        "report.json",
    }
    assert "model_fp16.tflite" in printed
    assert f"Written: {out}" == printed.splitlines()[-1]
    report = json.loads((out / "report.json").read_text())
    assert report["images"]["compared"] >= 8
    assert set(report["files"]) == {"saved_model", "model_fp32.tflite", "model_fp16.tflite"}
    for measured in report["files"].values():
        assert measured["agreement"] == 1.0
        assert measured["finite"]
    assert set(report["files"]["model_fp32.tflite"]["latency_ms"]) == {"1_threads", "2_threads"}
    pieces = report["files"]["model_fp32.tflite"]["by_fixation"]
    assert 1 <= pieces["reads"] <= 2
    assert pieces["multiply_adds"]["average"] <= pieces["multiply_adds"]["most"]
    for file in ("model_fp32.tflite", "model_fp16.tflite"):
        half = report["files"][file]["half_floats"]
        assert half["agreement"] >= 0.9
        assert f"{file}, in half floats: {half['accuracy']:.1%}" in printed
    assert Classifier(out / "model_fp32.tflite").fixations == 2
    assert sorted(path.name for path in out.parent.iterdir()) == [
        *("config.json", "export", "labels.txt", "model.keras", "splits.csv")
    ]


def test_an_export_is_replaced_whole_or_kept(run, tmp_path, monkeypatch, capsys):
    out = tmp_path / "out"
    out.mkdir()
    (out / "report.json").write_text("old")
    failures = ["model_int8.tflite has an accuracy of 10.00%, Keras of 80.00%"]

    def write(model, run, source, folder, options):
        folder.mkdir()
        (folder / "report.json").write_text("new")
        return failures

    monkeypatch.setattr("export.write.write", write)
    arguments = (f"--run={run}", f"--out={out}")
    assert status_of(__main__.main, *arguments) == 2
    assert "pass --overwrite" in capsys.readouterr().err
    assert status_of(__main__.main, *arguments, "--overwrite") == 1
    failure, advice = capsys.readouterr().err.splitlines()
    assert failure == f"error: {failures[0]}"
    assert advice.startswith(f"{out} was not written. ")
    assert (out / "report.json").read_text() == "old"
    failures.clear()
    assert status_of(__main__.main, *arguments, "--overwrite") == 0
    assert (out / "report.json").read_text() == "new"
    assert list(tmp_path.iterdir()) == [out]


def test_half_floats_are_rougher(exported, images):
    file = exported[0] / "model_fp32.tflite"
    whole, half = (Classifier(file, half=half).see(images[0])["logits"] for half in (False, True))
    assert 0 < np.abs(half - whole).max() < 0.05 * np.abs(whole).max() + 0.05


def test_a_run_exports_in_python(run, tmp_path, monkeypatch):
    def write(model, run, source, folder, options):
        folder.mkdir()
        assert (options.precision, options.verify_images) == (("fp16",), 200)
        assert model.calibration.known_from == -2.5
        return failures

    failures = ["model_fp16.tflite has an accuracy of 10.00%, Keras of 80.00%"]
    monkeypatch.setattr("rra_keras.trained.export_package", lambda: "export")
    monkeypatch.setattr("export.write.write", write)
    options = {"precision": ("fp16",), "known_from": -2.5}
    trained = TrainedRun.open(run)
    with pytest.raises(ValueError, match=r"of 80.00%\n.*new was not written"):
        trained.export(tmp_path / "new", **options)
    failures.clear()
    assert trained.export(tmp_path / "new", **options) == tmp_path / "new"
    assert (tmp_path / "new").is_dir()


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"not a model", "model.keras that training wrote"), (None, "without model.keras")],
)
def test_other_files_are_refused(tmp_path, run, capsys, content, message):
    for name in ("config.json", "labels.txt", "splits.csv"):
        (tmp_path / name).write_bytes((run / name).read_bytes())
    if content:
        (tmp_path / "model.keras").write_bytes(content)
    arguments = (f"--run={tmp_path}", f"--out={tmp_path / 'out'}")
    assert status_of(__main__.main, *arguments) == 2
    assert message in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "out").exists()


def test_other_models_and_labels_are_refused(tmp_path, run):
    other = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    other.save(tmp_path / "model.keras")
    with pytest.raises(ValueError, match=r"without config.json, labels.txt"):
        Run.open(tmp_path / "model.keras")
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "labels.txt").write_text("blue\ngreen\n")
    with pytest.raises(ValueError, match="Expected a classifier of rra_keras"):
        Run.open(tmp_path / "model.keras").load_model()
    (tmp_path / "model.keras").write_bytes((run / "model.keras").read_bytes())
    with pytest.raises(ValueError, match="3 classes, 2 labels"):
        Run.open(tmp_path / "model.keras").load_model()


def test_a_folder_of_other_files_is_never_replaced(tmp_path):
    def check(out):
        output_folder.check_available(out, "a site", ["model.json", "litert"], overwrite=True)

    (tmp_path / "model.json").write_text("mine")
    with pytest.raises(ValueError, match=r"or a site.*holds other files"):
        check(tmp_path)
    with pytest.raises(ValueError, match="a file"):
        check(tmp_path / "model.json")
    check(tmp_path / "new")
    (tmp_path / "litert").mkdir()
    check(tmp_path)


def test_the_naive_export_needs_flex_and_ours_does_not(model):
    naive = benchmark.naive_export(model)
    assert naive.flex_operators > 0
    assert benchmark.row(naive, None)["median_ms"] is None


def test_the_accuracy_command_compares_files_with_keras(run, exported, capsys):
    assert status_of(accuracy.main, f"--run={run}", "--split=test") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("test, ")
    assert [line.split()[0] for line in lines[2:]] == ["model_fp16.tflite", "model_fp32.tflite"]
    assert all("100.0%" in line for line in lines[2:])  # as Keras
    empty = status_of(accuracy.main, f"--run={run}", f"--export={run}")
    assert empty == 2
    assert "Expected a folder that `rra export` wrote" in capsys.readouterr().err
