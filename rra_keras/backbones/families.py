"""The backbones by family: who builds them, with which weights, and what they need."""

import dataclasses
import warnings
from collections.abc import Callable

import keras

from rra_keras.backbones.efficientnet_lite import efficientnet_lite, load_imagenet_weights


@dataclasses.dataclass(frozen=True)
class Family:
    """Backbones that are built alike: a row of `FAMILIES`.

    Attributes:
        names: as users write them, in any case, with or without underscores.
        build: takes a name, and whether ImageNet weights are wanted; returns a `keras.Model` from
            preprocessed images `(B, H, W, 3)` to a feature map `(B, h, w, D)`.
        preprocessing: mode of `preprocess_input`; `None` for a model that does it inside.
        minimum_size: smallest side of an image that it gives a feature map for, pixels.
        train_from: first block that is trained unless told; `None` for the whole.
        output: name of the layer whose output is the feature map; the last one unless given.

    Example:
        from rra_keras.backbones.families import FAMILIES

        assert FAMILIES[0].names == ("efficientnet_lite0",)
    """

    names: tuple[str, ...]
    build: Callable[[str, bool], keras.Model]
    preprocessing: str | None
    minimum_size: int = 32
    train_from: str | None = None
    output: str | None = None


def _lite(name, pretrained):
    variant = name.removeprefix("efficientnet_")
    model = efficientnet_lite(variant)
    if pretrained:
        load_imagenet_weights(model, variant)
    return model


def _application(name, pretrained):
    """Build a `keras.applications` network without its top."""
    weights = "imagenet" if pretrained else None
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


# NASNet is left out: built for open input sizes, its padding is wrong.
FAMILIES = (
    # What is before block 11 finds objects, and stays.
    Family(("efficientnet_lite0",), _lite, "lite", train_from="block_11"),
    Family(("efficientnet_lite1", "efficientnet_lite2"), _lite, "lite"),
    # Without its last max-pool: 14×14×512 at 224 pixels, as in the paper's local stream.
    Family(
        ("vgg19_no_pool",),
        lambda _, pretrained: _application("VGG19", pretrained),
        "caffe",
        minimum_size=16,
        output="block5_conv4",
    ),
    Family(("VGG16", "VGG19"), _application, "caffe"),
    Family(("ResNet50", "ResNet101", "ResNet152"), _application, "caffe"),
    Family(("ResNet50V2", "ResNet101V2", "ResNet152V2"), _application, "tf"),
    Family(("InceptionV3", "InceptionResNetV2"), _application, "tf", minimum_size=75),
    Family(("Xception",), _application, "tf", minimum_size=71),
    Family(("MobileNet", "MobileNetV2"), _application, "tf"),
    Family(("MobileNetV3Large", "MobileNetV3Small"), _application, None),
    Family(("DenseNet121", "DenseNet169", "DenseNet201"), _application, "torch"),
    Family(tuple(f"EfficientNetB{i}" for i in range(8)), _application, None),
    Family(
        tuple(f"EfficientNetV2{size}" for size in ("B0", "B1", "B2", "B3", "S", "M", "L")),
        _application,
        None,
    ),
    Family(
        tuple(f"ConvNeXt{size}" for size in ("Tiny", "Small", "Base", "Large", "XLarge")),
        _application,
        None,
    ),
)
