"""Frozen batch norms cost nothing: they are a scale and a shift of the convolution before them."""

import keras
from keras import layers, ops


def fold_frozen(model):
    """Return a copy of `model` with each frozen batch norm folded into the convolution before it.

    A frozen `BatchNormalization` runs on its moving statistics, in training as well:
    `γ · (conv(x) − μ) / √(σ² + ε) + β`, which is the same convolution with a scaled kernel and a
    bias. The copy gives the same output in fewer passes over the large early feature maps. A
    folded batch norm is gone from the copy; all else keeps its name, order and `trainable`.

    Args:
        model: a functional `keras.Model`; left as it is.
    """
    folded = {}  # the batch norm that each convolution takes in, by the convolution's name
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization) and not layer.trainable:
            before = layer.input._keras_history.operation
            if _takes_in(before, layer):
                folded[before.name] = layer
    norms = {layer.name for layer in folded.values()}

    def clone(layer):
        config = layer.get_config()
        if layer.name in folded:
            config["use_bias"] = True
        return layer.__class__.from_config(config)

    def call(layer, *args, **kwargs):
        return args[0] if layer.name in norms else layer(*args, **kwargs)

    copy = keras.models.clone_model(model, clone_function=clone, call_function=call)
    for layer in model.layers:
        if layer.name in folded:
            copy.get_layer(layer.name).set_weights(_fold(layer, folded[layer.name]))
        elif layer.weights and layer.name not in norms:
            copy.get_layer(layer.name).set_weights(layer.get_weights())
    return copy


def _takes_in(before, norm):
    """Tell whether `before` is a frozen convolution that nothing but `norm` reads."""
    return (
        type(before) in (layers.Conv2D, layers.DepthwiseConv2D)
        and not before.trainable
        and before.activation is keras.activations.linear
        and before.data_format == "channels_last"
        and norm.axis in (-1, 3)
        and len(before._outbound_nodes) == len(norm._inbound_nodes) == 1
    )


def _fold(conv, norm):
    """Return the kernel and the bias of `conv` followed by `norm`."""
    scale = ops.rsqrt(norm.moving_variance + norm.epsilon)
    if norm.scale:
        scale = scale * norm.gamma
    shift = -norm.moving_mean * scale
    if norm.center:
        shift = shift + norm.beta
    if conv.use_bias:
        shift = shift + conv.bias * scale
    # (h, w, in, out), or (h, w, out, 1) where each channel has its own kernel
    each = scale[:, None] if isinstance(conv, layers.DepthwiseConv2D) else scale
    return [ops.convert_to_numpy(conv.kernel * each), ops.convert_to_numpy(shift)]
