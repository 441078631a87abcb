import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from rra_keras.data import augment


def seeds(count):
    return [tf.constant([5, i], tf.int64) for i in range(count)]


def noise(*shape):
    return tf.constant(np.random.default_rng(0).integers(0, 256, shape), tf.float32)


@functools.cache
def traced(name):
    """One trace each: the draws must come from the seed, not from the trace."""
    return tf.function(getattr(augment, name))


def test_crops_are_parts_of_the_image_or_of_its_mirror():
    rows, columns = np.meshgrid(np.arange(50), np.arange(100), indexing="ij")
    image = tf.constant(np.stack([rows, columns, columns], -1), tf.uint8)
    flips, shares, corners, margins = [], [], [], []
    for seed in seeds(200):
        crop = augment.random_crop_and_flip(image, seed).numpy().astype(int)
        height, width, _ = crop.shape
        flipped = crop[0, 0, 1] > crop[0, -1, 1]
        if flipped:
            crop = crop[:, ::-1]
        top, left = crop[0, 0, :2]
        np.testing.assert_array_equal(crop, image[top : top + height, left : left + width])
        assert height == pytest.approx(width / 2, abs=1)
        flips.append(flipped)
        shares.append(width / 100)
        corners.append([top, left])
        margins.append([50 - height, 100 - width])
    assert np.mean(flips) == pytest.approx(0.5, abs=0.1)
    assert 0.8 <= min(shares) < 0.82
    assert 0.98 < max(shares) <= 1.0
    np.testing.assert_allclose(np.sum(corners, 0) / np.sum(margins, 0), 0.5, atol=0.1)


def test_the_whole_image_is_kept_for_who_crops_by_itself():
    image = noise(7, 5, 3)
    for seed in seeds(20):
        kept = augment.random_crop_and_flip(image, seed, smallest=1.0).numpy()
        assert any(np.array_equal(kept, each) for each in (image, image[:, ::-1]))


def test_what_has_a_left_and_a_right_is_not_flipped():
    image = noise(7, 5, 3)
    for seed in seeds(20):
        kept = augment.random_crop_and_flip(image, seed, smallest=1.0, mirror=False)
        np.testing.assert_array_equal(kept, image)


def test_light_color_keeps_a_gray_image_gray_and_shifts_it_by_a_tenth():
    means = []
    for seed in seeds(100):
        image = augment.light_color(tf.fill((4, 4, 3), 100.0), seed).numpy()
        np.testing.assert_allclose(image, image[0, 0, 0], atol=1e-3)
        means.append(image[0, 0, 0])
    assert 100 - 25.5 <= min(means) < 80
    assert 120 < max(means) <= 100 + 25.5


@pytest.mark.parametrize("side", [4, 5])  # of pixels that go into eights, and that do not
def test_light_color_moves_pixels_from_their_gray_and_from_the_mean(side):
    image = tf.random.stateless_uniform((side, side, 3), [0, 1], 100, 150)
    for seed in seeds(10):
        saturation, contrast, brightness = (
            tf.random.stateless_uniform([3], seed).numpy() * 0.2 + 0.9
        ).astype("float64")
        gray = image.numpy() @ np.array([[0.299], [0.587], [0.114]])
        expected = gray + saturation * (image.numpy() - gray)
        mean = expected.mean(axis=(0, 1))
        expected = mean + contrast * (expected - mean) + 255 * (brightness - 1)
        np.testing.assert_allclose(augment.light_color(image, seed), expected, atol=1e-3)


def test_light_color_stays_in_range():
    image = tf.constant([[[0.0, 0.0, 255.0], [255.0, 255.0, 255.0]]])
    for seed in seeds(20):
        changed = augment.light_color(image, seed).numpy()
        assert changed.min() >= 0
        assert changed.max() <= 255


def test_rand_augment_is_a_function_of_image_and_seed():
    image = noise(12, 12, 3)
    outputs = [traced("rand_augment")(image, seed).numpy() for seed in seeds(12)]
    again = [traced("rand_augment")(image, seed).numpy() for seed in seeds(12)]
    np.testing.assert_array_equal(outputs, again)
    assert len({output.tobytes() for output in outputs}) > 8  # RandAugment may also do nothing
    assert np.min(outputs) >= 0
    assert np.max(outputs) <= 255


def test_mix_is_a_function_of_batch_and_seed():
    images, labels = noise(4, 8, 8, 3), tf.eye(4)
    outputs = [traced("mix")(images, labels, seed) for seed in seeds(8)]
    again = [traced("mix")(images, labels, seed) for seed in seeds(8)]
    for (mixed, targets), (other, other_targets) in zip(outputs, again, strict=True):
        np.testing.assert_array_equal(mixed, other)
        np.testing.assert_array_equal(targets, other_targets)
        np.testing.assert_allclose(tf.reduce_sum(targets, -1), 1, atol=1e-6)
    assert len({targets.numpy().tobytes() for _, targets in outputs}) == 8


def test_mix_blends_labels_as_it_blends_images():
    # Constant images: image i is worth i everywhere, so a mean tells the share of each.
    values = np.array([0.0, 60.0, 120.0, 180.0], "float32")
    images = tf.constant(np.tile(values[:, None, None, None], (1, 64, 64, 3)))
    uniform, pasted = 0, 0
    for seed in seeds(16):
        mixed, targets = traced("mix")(images, tf.eye(4), seed)
        blended = targets.numpy() @ values
        if np.ptp(mixed, axis=(1, 2, 3)).max() < 1e-3:
            uniform += 1
            np.testing.assert_allclose(np.mean(mixed, axis=(1, 2, 3)), blended, atol=1e-2)
        else:
            pasted += 1
            # Labels go by the box, images by whole pixels: a row and a column more or less.
            share = 180 * 2 / 64
            np.testing.assert_allclose(np.mean(mixed, axis=(1, 2, 3)), blended, atol=share)
            inside = np.isclose(mixed.numpy()[..., None], values, atol=1e-3).any(-1)
            assert inside.all()  # CutMix pastes, it does not blend
    assert uniform > 2
    assert pasted > 2


def test_every_operation_stays_near_the_image_and_in_range():
    # A gray ramp from left to right, 100 to 163: rows, columns and values tell what was done.
    image = tf.tile(tf.range(100.0, 164.0)[None, :, None], (64, 1, 3))
    layers, equalize, solarize = augment._rand_layers()
    np.testing.assert_allclose(equalize.augment_images(image[None])[0, 0, ::63, 0], [0, 255])
    inverted = tf.constant([[[[0.0, 178.0, 255.0]]]])
    for seed in seeds(20):
        draws = augment._Draws(seed)
        for layer in layers:
            changed = augment._transformed(layer, draws, image[None])[0].numpy()
            assert changed.shape == (64, 64, 3)
            limit = 100 if isinstance(layer, keras.layers.AutoContrast) else 0.3 * 255
            assert np.abs(changed - image).mean() <= limit
        done = solarize.augment_images(inverted, augment._solarization(draws))
        np.testing.assert_allclose(done[0, 0, 0], [0, 178, 0])


@pytest.mark.parametrize("parallel", [1, 8])
def test_images_are_the_same_however_many_are_worked_on_at_once(parallel):
    image = noise(12, 12, 3)
    keys = tf.data.Dataset.from_tensor_slices(tf.stack(seeds(24)))
    images = keys.map(lambda seed: augment.rand_augment(image, seed), parallel)
    expected = [traced("rand_augment")(image, seed).numpy() for seed in seeds(24)]
    np.testing.assert_array_equal(list(images.as_numpy_iterator()), expected)


@pytest.mark.parametrize("name", ["rand_augment", "mix"])
def test_nothing_draws_from_a_stateful_generator(name):
    specs = {
        "rand_augment": [tf.TensorSpec((8, 8, 3)), tf.TensorSpec((2,), tf.int64)],
        "mix": [
            tf.TensorSpec((4, 8, 8, 3)),
            tf.TensorSpec((4, 4)),
            tf.TensorSpec((2,), tf.int64),
        ],
    }[name]
    graph = traced(name).get_concrete_function(*specs).graph.as_graph_def()
    nodes = [*graph.node, *(node for f in graph.library.function for node in f.node_def)]
    drawing = {node.op for node in nodes if "Random" in node.op}
    assert drawing
    assert all(op.startswith("Stateless") for op in drawing)
