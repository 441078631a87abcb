"""Name → encoder: a backbone with its preprocessing inside."""

import difflib
import functools
import os
import warnings

import keras

from rra_keras.backbones.efficientnet_lite import efficientnet_lite, load_imagenet_weights
from rra_keras.backbones.fold import fold_frozen
from rra_keras.backbones.preprocessing import preprocess_input

# Mode of `preprocess_input` that each network was trained on; None: its model does it inside.
# NASNet is left out: built for open input sizes, its padding is wrong.
_MODES = {
    **dict.fromkeys(("efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2"), "lite"),
    **dict.fromkeys(("vgg19_no_pool", "VGG16", "VGG19"), "caffe"),
    **dict.fromkeys(("ResNet50", "ResNet101", "ResNet152"), "caffe"),
    **dict.fromkeys(("ResNet50V2", "ResNet101V2", "ResNet152V2"), "tf"),
    **dict.fromkeys(("InceptionResNetV2", "InceptionV3", "Xception"), "tf"),
    **dict.fromkeys(("MobileNet", "MobileNetV2"), "tf"),
    **dict.fromkeys(("MobileNetV3Large", "MobileNetV3Small"), None),
    **dict.fromkeys(("DenseNet121", "DenseNet169", "DenseNet201"), "torch"),
    **dict.fromkeys((f"EfficientNetB{i}" for i in range(8)), None),
    **dict.fromkeys((f"EfficientNetV2{size}" for size in ("B0", "B1", "B2", "B3")), None),
    **dict.fromkeys((f"EfficientNetV2{size}" for size in "SML"), None),
    **dict.fromkeys((f"ConvNeXt{size}" for size in ("Tiny", "Small", "Base", "Large")), None),
    "ConvNeXtXLarge": None,
}
_TRAIN_FROM = {"efficientnet_lite0": "block_11"}  # what is before finds objects, and stays
_MINIMUM_SIZES = {"vgg19_no_pool": 16, "Xception": 71, "InceptionV3": 75, "InceptionResNetV2": 75}


def backbone_names():
    """List the names that `build_encoder` knows, as `list[str]`.

    Example:
        assert "efficientnet_lite0" in backbones.backbone_names()
    """
    return list(_MODES)


def _canonical(backbone):
    """Resolve a name, whatever its case and underscores, to its spelling in `backbone_names()`."""
    if not isinstance(backbone, str):
        raise ValueError(
            "Invalid value for `backbone`. Expected a name or a `keras.Model`. "
            f"Received: backbone={backbone!r}"
        )
    table = {name.lower().replace("_", ""): name for name in _MODES}
    key = backbone.lower().replace("_", "")
    if key not in table:
        nearest = [table[match] for match in difflib.get_close_matches(key, table, cutoff=0.4)]
        raise ValueError(
            "Invalid value for `backbone`. Expected a name out of `backbone_names()`"
            f"{f', such as {nearest}' if nearest else ''}. Received: backbone={backbone!r}"
        )
    return table[key]


def minimum_size(backbone):
    """Return the smallest image side, in pixels, that the backbone gives a feature map for.

    Args:
        backbone: A name out of `backbone_names()`, or a `keras.Model`, for which it is the side
            of its input, or 1 where that is open.

    Example:
        assert backbones.minimum_size("xception") == 71
    """
    if isinstance(backbone, keras.Model):
        _check_model(backbone)
        return max(size or 1 for size in backbone.inputs[0].shape[1:3])
    return _MINIMUM_SIZES.get(_canonical(backbone), 32)


def default_train_from(backbone):
    """Return the block that training starts from unless told; `None` for the whole backbone.

    Example:
        assert backbones.default_train_from("efficientnet_lite0") == "block_11"
    """
    return _TRAIN_FROM.get(_canonical(backbone)) if isinstance(backbone, str) else None


def _application(name, weights):
    """Build a `keras.applications` network without its top."""
    try:
        with warnings.catch_warnings():
            # MobileNets, of open input sizes: they load the weights of 224 pixels, as they should.
            warnings.filterwarnings("ignore", "`input_shape` is undefined")
            return getattr(keras.applications, name)(include_top=False, weights=weights)
    except Exception as error:  # Keras raises a bare Exception when a download fails
        if not isinstance(error, OSError) and "URL fetch failure" not in str(error):
            raise
        raise OSError(
            f"The ImageNet weights of {name} need a download, and this machine could not fetch "
            f"them; those of efficientnet_lite0 come with the package. ({error})"
        ) from None


def _from_name(name, weights):
    """Build a named backbone, `(B, H, W, 3)` → `(B, h, w, D)`, on preprocessed images."""
    pretrained = weights if weights == "imagenet" else None
    if _MODES[name] == "lite":
        variant = name.removeprefix("efficientnet_")
        model = efficientnet_lite(variant)
        if pretrained:
            load_imagenet_weights(model, variant)
    else:
        model = _application(name.replace("vgg19_no_pool", "VGG19"), pretrained)
    if not pretrained:
        _load_file(model, weights)
    if name == "vgg19_no_pool":
        return keras.Model(model.input, model.get_layer("block5_conv4").output, name=name)
    return model


def _from_model(model, weights):
    """Copy a handed-over model, so that encoders made from it share no variables."""
    if weights == "imagenet":
        raise ValueError(
            "Invalid value for `weights`. Expected None or the path of a Keras weights file "
            'for a `keras.Model`. Received: weights="imagenet"'
        )
    _check_model(model)
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    _load_file(copy, weights)
    # Tensors in place of lists or dicts of one, and functional where it was sequential.
    return keras.Model(copy.inputs[0], copy.outputs[0], name=model.name)


def _check_model(model):
    """Raise unless `model` is a graph from one RGB image to one feature map."""
    inputs, outputs = (getattr(model, a, None) or [] for a in ("inputs", "outputs"))
    if len(inputs) != 1 or len(outputs) != 1 or inputs[0].shape[3:] != (3,):
        raise ValueError(
            "Invalid value for `backbone`. Expected a functional or built sequential `keras.Model` "
            f"with one input `(B, H, W, 3)` and one output. Received: backbone={model!r}"
        )
    if len(outputs[0].shape) != 4:
        raise ValueError(
            "Invalid value for `backbone`. Expected a model whose output is a feature map "
            f"`(B, h, w, D)`. Received: output shape {outputs[0].shape}"
        )


def _load_file(model, path):
    if path is None:
        return
    if not os.path.isfile(path):
        raise ValueError(
            'Invalid value for `weights`. Expected None, "imagenet" or the path of a Keras weights '
            f"file. Received: weights={path!r}"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)  # Keras' word for weights it left out
            model.load_weights(path)
    except (ValueError, OSError, UserWarning) as error:
        raise ValueError(
            "Invalid value for `weights`. Expected a Keras weights file of the same backbone. "
            f"Received: weights={os.fspath(path)!r} ({str(error).splitlines()[0]})"
        ) from error


def _freeze_before(model, train_from):
    """Set `trainable=False` on the layers before the first one of the block `train_from`."""
    names = [layer.name for layer in model.layers]
    starts = [n == train_from or n.startswith(f"{train_from}_") for n in names]
    if True not in starts:
        parts = [name.split("_") for name in names]
        blocks = dict.fromkeys("_".join(p[: i + 1]) for p in parts for i in range(len(p)))
        nearest = difflib.get_close_matches(train_from, blocks, cutoff=0.4)
        raise ValueError(
            "Invalid value for `train_from`. Expected the name of a layer or of a block"
            f"{f', such as {nearest}' if nearest else ''}. Received: train_from={train_from!r}"
        )
    for layer in model.layers[: starts.index(True)]:
        layer.trainable = False


def _fine_map(model):
    """Return the last feature map before the model's final downsampling, or else its output."""
    probe = keras.Model(model.input, [layer.output for layer in model.layers[1:]])
    height, width = (size or 256 for size in model.input_shape[1:3])
    shapes = probe.compute_output_shape((1, height, width, 3))
    final = shapes[-1]
    for layer, shape in zip(reversed(model.layers[1:]), reversed(shapes), strict=True):
        if len(shape) == 4 and shape[1] > final[1] and shape[2] > final[2]:
            return layer.output
    return model.output


def build_encoder(
    backbone,
    weights=None,
    train_from=None,
    preprocess=None,
    fine_features=False,
    name="encoder",
):
    """Build a model from RGB images 0…255, `(B, H, W, 3)`, to a feature map, `(B, h, w, D)`.

    The preprocessing that the backbone was trained with is part of the encoder. Every call makes
    variables of its own, also for a `keras.Model`, which is copied with its weights and left as
    it was; so two encoders come from two calls.

    Example:
        encoder = backbones.build_encoder("efficientnet_lite0", weights="imagenet")
        features = encoder(images)  # (9, 2, 2, 1280)

    Args:
        backbone: One of
            - "efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2";
            - any name in `keras.applications`, in any case, with or without underscores, but for
              NASNet, which needs a fixed input size: hand it over as a `keras.Model`;
            - "vgg19_no_pool": VGG19 without its last max-pool, 14×14×512 at 224 pixels, as in the
              paper's local stream;
            - a functional or sequential `keras.Model`, which sees raw 0…255.
        weights: None (random, or for a `keras.Model` those it has), "imagenet", or the path of a
            Keras weights file of the backbone alone (a `keras.applications` one without top).
        train_from: First trainable block: every layer before the first one that is named so, or
            whose name starts with it and an underscore, is frozen, its batch norms folded into
            the convolutions before them. None freezes nothing.
        preprocess: Layer before a `keras.Model`; named backbones bring their own.
        fine_features: Whether to return, beside the feature map, the last one before the final
            downsampling, `(B, 2·h, 2·w, D')` as a rule: it tells better where something is.
        name: Name of the encoder.

    Returns:
        A functional `keras.Model`; its output is the feature map, or a list that starts with it.

    Raises:
        ValueError: If an argument is unknown or does not fit the backbone.
        ImportError: If the weights of an EfficientNet-Lite are not installed.
        OSError: If weights cannot be downloaded.
    """
    if isinstance(backbone, keras.Model):
        base = _from_model(backbone, weights)
        before = preprocess or (lambda x: x)
    else:
        if preprocess is not None:
            raise ValueError(
                "Invalid value for `preprocess`. Expected None for a named backbone, which brings "
                f"its own. Received: preprocess={preprocess!r}"
            )
        backbone = _canonical(backbone)
        base = _from_name(backbone, weights)
        before = functools.partial(preprocess_input, mode=_MODES[backbone])
    if train_from is not None:
        _freeze_before(base, train_from)
        base = fold_frozen(base)
    outputs = [base.output]
    if fine_features:
        outputs.append(_fine_map(base))
    if len(outputs) > 1:
        base = keras.Model(base.input, outputs, name=base.name)
    inputs = keras.Input(base.input_shape[1:], name="image")
    return keras.Model(inputs, base(before(inputs)), name=name)
