import keras
import numpy as np
import pytest
from conftest import tensorflow_only
from keras import layers

from rra_keras.models.costs import multiply_adds, parameters

# By hand, at image 64, patch and view 32 (so 2×2 average pooling, which is not counted).
BLOCK_0 = {32: 8 * 8 * 5 * 5 * 3 * 8, 64: 16 * 16 * 5 * 5 * 3 * 8}  # by side of the input
BLOCK_1 = {32: 4 * 4 * 3 * 3 * 8 * 16, 64: 8 * 8 * 3 * 3 * 8 * 16}
ENCODER = {side: BLOCK_0[side] + BLOCK_1[side] for side in (32, 64)}
CLASSIFIER = 16 * 3
CELLS = 4 * 8 * (16 + 8) + 4 * 8 * (8 + 8)
WEIGHTS = {
    "encoder": 5 * 5 * 3 * 8 + 8 + 3 * 3 * 8 * 16 + 16,
    "classifier": 16 * 3 + 3,
    "cells": CELLS + 2 * 4 * 8,
    "scorer": 8 + 1,
    "step_classifier": 8 * 3 + 3,
}


def test_multiply_adds_of_the_plain_backbone(build):
    assert multiply_adds(build(looks=0)) == ENCODER[64] + CLASSIFIER


def test_multiply_adds_of_one_look(build):
    expected = (
        ENCODER[32]  # of the view
        + CLASSIFIER
        + 4 * 4 * CLASSIFIER  # scores at each position
        + 4 * 4 * 3  # class-activation map
        + ENCODER[32]  # of the crop
        + 2 * CELLS  # two steps
        + 2 * 8  # attention's scorer
        + 8 * 3  # local logits
    )
    assert multiply_adds(build(looks=1, linear_vote=False)) == expected
    assert multiply_adds(build(looks=1)) == expected + CLASSIFIER  # the crop's vote


@tensorflow_only("tf.image")
def test_multiply_adds_do_not_depend_on_the_crop_method(build):
    assert multiply_adds(build(crop_method="tf_image")) == multiply_adds(
        build(crop_method="gather")
    )


def test_multiply_adds_of_depthwise_convolutions(build):
    image = keras.Input((None, None, 3))
    depthwise = keras.Model(image, layers.DepthwiseConv2D(3, 8, use_bias=False)(image))
    assert multiply_adds(build(backbone=depthwise, looks=0)) == 8 * 8 * 3 * 3 * 3 + 3 * 3


def test_multiply_adds_refuse_what_they_cannot_count(build):
    image = keras.Input((None, None, 3))
    looped = layers.Reshape((-1, 3))(image)
    looped = layers.Reshape((8, 8, 4))(layers.LSTM(4)(looped)[:, None, None] + np.zeros((8, 8, 4)))
    with pytest.raises(NotImplementedError, match=r"While|scan"):
        multiply_adds(build(backbone=keras.Model(image, looped), looks=0))


def test_counting_leaves_the_model_as_it_was(build, batch, tmp_path):
    model = build()
    multiply_adds(model)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(
        loaded.predict(batch[0], verbose=0), model.predict(batch[0], verbose=0)
    )


def test_parameters_count_each_weight_once(build):
    known = 8 * 16 + 16 + 1  # `known_score`: directions and mean of 16 features, and a scale
    one_look = sum(WEIGHTS.values()) + known
    assert parameters(build(looks=0)) == WEIGHTS["encoder"] + WEIGHTS["classifier"] + known
    assert parameters(build(linear_vote=False)) == one_look
    assert parameters(build()) == one_look + WEIGHTS["classifier"]
    # Shared, cells and all; of several looks each step is told the box, for 4 gates of 8 units.
    known_of_two = 16 * 32 + 32 + 1
    assert parameters(build(looks=2)) == parameters(build()) + 4 * 4 * 8 + known_of_two - known
    assert parameters(build(shared_encoder=False)) == parameters(build()) + WEIGHTS["encoder"]


def test_parameters_include_frozen_weights_and_statistics(build):
    image = keras.Input((None, None, 3))
    normalized = keras.Model(image, layers.BatchNormalization(name="block_0")(image))
    model = build(backbone=normalized, looks=0, train_from="block_0")
    assert parameters(model) == 4 * 3 + 3 * 3 + 3 + (3 + 3 + 1)
    assert parameters(build(train_from="block_1")) == parameters(build())
