"""A named backbone of three convolutions: commands are tested with it in a tenth of the time."""

import keras
from keras import layers

from rra_keras.backbones import encoder
from rra_keras.backbones.families import Family


def build(name, pretrained):
    """Build it, `(B, S, S, 3)` → `(B, S / 16, S / 16, 32)`, of random weights."""
    image = keras.Input((None, None, 3))
    x = layers.Conv2D(8, 5, 4, padding="same", activation="relu", name="block_0_conv")(image)
    for block, filters in ((1, 16), (2, 32)):
        name = f"block_{block}"
        x = layers.Conv2D(filters, 3, 2, "same", use_bias=False, name=f"{name}_conv")(x)
        x = layers.BatchNormalization(name=f"{name}_norm")(x)
        x = layers.ReLU(6.0, name=f"{name}_relu")(x)
    return keras.Model(image, x, name="tiny")


encoder._BY_NAME["tiny"] = Family(("tiny",), build, "tf", minimum_size=16)
