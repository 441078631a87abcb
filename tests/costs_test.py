import keras
import numpy as np
import pytest
from conftest import tensorflow_only
from keras import layers

from rra_keras.models.costs import multiply_adds, parameters

# By hand, at image 64, crop and glance 32 (so 2×2 average pooling, which is not counted).
BLOCK_0 = {32: 8 * 8 * 5 * 5 * 3 * 8, 64: 16 * 16 * 5 * 5 * 3 * 8}  # by side of the input
BLOCK_1 = {32: 4 * 4 * 3 * 3 * 8 * 16, 64: 8 * 8 * 3 * 3 * 8 * 16}
ENCODER = {side: BLOCK_0[side] + BLOCK_1[side] for side in (32, 64)}
CLASSIFIER = 16 * 3
LOCALIZER = 8 * 8 * (9 * 8 * 96 + 9 * 96 * 64 + 64 * 5)  # on the trunk's map, which is block 0's
WEIGHTS = 5 * 5 * 3 * 8 + 8 + 3 * 3 * 8 * 16 + 16 + 16 * 3 + 3
OF_LOCALIZER = 9 * 8 * 96 + 96 + 9 * 96 * 64 + 64 + 64 * 5 + 5
CALIBRATION = 16 + 8 * 16 + 1 + 2  # mean, directions, scale; temperature, threshold


def test_multiply_adds_of_the_plain_backbone(build):
    assert multiply_adds(build(localizer=None)) == ENCODER[64] + CLASSIFIER


@pytest.mark.parametrize("refinements", [0, 2])
def test_multiply_adds_of_one_fixation(build, refinements):
    looking = (1 + refinements) * (BLOCK_0[32] + LOCALIZER)
    model = build(max_refinements=refinements, max_fixations=4, train_from="block_1")
    assert multiply_adds(model) == looking + ENCODER[32] + CLASSIFIER


@tensorflow_only("tf.image")
def test_multiply_adds_do_not_depend_on_the_crop_method(build):
    assert multiply_adds(build(crop_method="tf_image")) == multiply_adds(
        build(crop_method="gather")
    )


def test_multiply_adds_of_depthwise_convolutions(build):
    image = keras.Input((None, None, 3))
    depthwise = keras.Model(image, layers.DepthwiseConv2D(3, 8, use_bias=False)(image))
    assert multiply_adds(build(backbone=depthwise, localizer=None)) == 8 * 8 * 3 * 3 * 3 + 3 * 3


def test_multiply_adds_refuse_what_they_cannot_count(build):
    image = keras.Input((None, None, 3))
    looped = layers.Reshape((-1, 3))(image)
    looped = layers.Reshape((8, 8, 4))(layers.LSTM(4)(looped)[:, None, None] + np.zeros((8, 8, 4)))
    with pytest.raises(NotImplementedError, match=r"While|scan"):
        multiply_adds(build(backbone=keras.Model(image, looped), localizer=None))


@tensorflow_only("the same by JAX, which takes long to compile it")
def test_counting_leaves_the_model_as_it_was(build, batch, tmp_path):
    model = build()
    multiply_adds(model)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(
        loaded.predict(batch[0], verbose=0), model.predict(batch[0], verbose=0)
    )


def test_parameters_count_each_weight_once(build):
    assert parameters(build(localizer=None)) == WEIGHTS + CALIBRATION
    # The trunk is the encoder's; what the attention over fixations knows are two numbers.
    expected = WEIGHTS + OF_LOCALIZER + CALIBRATION + 2
    model = build(train_from="block_1")
    moves = sum(int(np.prod(v.shape)) for v in model.get_layer("box_jitter").variables)
    assert parameters(model) == expected
    assert moves > 0  # the state of what moves boxes at random is no weight


def test_parameters_include_frozen_weights_and_statistics(build):
    image = keras.Input((None, None, 3))
    normalized = keras.Model(image, layers.BatchNormalization(name="block_0")(image))
    model = build(backbone=normalized, localizer=None, train_from="block_0")
    assert parameters(model) == 4 * 3 + 3 * 3 + 3 + (3 + 3 + 1 + 2)
    # Where the whole encoder trains, the trunk is a copy of its early layers.
    copied = 5 * 5 * 3 * 8 + 8
    assert parameters(build()) == parameters(build(train_from="block_1")) + copied
