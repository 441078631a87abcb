import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from rra_keras import data
from rra_keras.data import decode, pipeline

SIZE = 11


def encode(pixels, kind="png"):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def make_split(size=SIZE, side=8, kind="png"):
    """Image i is noise but for its first pixel, (i, i, i)."""
    pixels = np.random.default_rng(0).integers(0, 256, (size, side, side, 3), "uint8")
    pixels[:, 0, 0] = np.arange(size)[:, None]
    images = tf.constant([encode(image, kind) for image in pixels])

    def examples(seed):
        indices = tf.range(size, dtype=tf.int64)
        if seed is not None:
            key = tf.stack([tf.cast(seed, tf.int64), 0])
            indices = tf.random.experimental.stateless_shuffle(indices, key)
        return tf.data.Dataset.from_tensor_slices(indices).map(
            lambda index: {"index": index, "image": images[index], "label": index % 3}
        )

    return data.Split("train", size, examples), pixels


def training(split, batch_size=4, **options):
    options = {"augment": "none", "image_size": 8, "num_classes": 3, **options}
    dataset = pipeline.training_batches(split, batch_size=batch_size, **options)
    batches = [(x.numpy(), y.numpy()) for x, y in dataset]
    assert len(batches) == int(dataset.cardinality())
    return batches


def ids(batches):
    return [images[:, 0, 0, 0].astype(int).tolist() for images, _ in batches]


def assert_equal(batches, others):
    assert len(batches) == len(others)
    for (images, labels), (other_images, other_labels) in zip(batches, others, strict=True):
        np.testing.assert_array_equal(images, other_images)
        np.testing.assert_array_equal(labels, other_labels)


def test_training_batches_are_full_and_hold_every_image_once_an_epoch():
    split, pixels = make_split()
    batches = training(split, epochs=3)
    assert len(batches) == 3 * (SIZE // 4)
    for images, labels in batches:
        assert images.shape == (4, 8, 8, 3)
        assert (images.dtype, labels.dtype) == (np.float32, np.int32)
    for epoch in range(3):
        first, second = ids(batches[2 * epoch : 2 * epoch + 2])
        assert len({*first, *second}) == 8
    image, label = batches[0][0][1], batches[0][1][1]
    index = int(image[0, 0, 0])
    np.testing.assert_array_equal(image, pixels[index])
    assert label == index % 3


def test_the_order_follows_seed_and_epoch():
    split, _ = make_split()
    first, second = ids(training(split, epochs=2))[:2], ids(training(split, epochs=2))[2:]
    assert first != second
    assert ids(training(split, seed=1)) != first
    assert ids(training(split, start_epoch=1, epochs=2)) == second


def test_a_split_smaller_than_a_batch_gives_one_batch_an_epoch():
    split, _ = make_split(size=3)
    batches = training(split, batch_size=8, epochs=2)
    assert [sorted(batch) for batch in ids(batches)] == [[0, 1, 2], [0, 1, 2]]
    assert pipeline.steps_per_epoch(split, 8) == 1


@pytest.mark.parametrize("augment", pipeline.AUGMENTATIONS)
def test_a_resumed_stream_goes_on_with_the_same_batches(augment):
    split, _ = make_split()
    whole = training(split, augment=augment, epochs=3, seed=7)
    assert_equal(training(split, augment=augment, epochs=3, seed=7), whole)
    resumed = training(split, augment=augment, epochs=3, seed=7, start_epoch=1, start_step=1)
    assert_equal(resumed, whole[3:])


@pytest.mark.parametrize(("epoch", "step"), [(0, 0), (0, 1), (0, 2), (2, 0), (2, 1)])
def test_a_stream_may_start_anywhere(epoch, step):
    split, _ = make_split()
    whole = training(split, augment="light", epochs=3)
    resumed = training(split, augment="light", epochs=3, start_epoch=epoch, start_step=step)
    assert_equal(resumed, whole[2 * epoch + step :])


def test_augmentation_follows_seed_and_epoch():
    split, _ = make_split(size=4)

    def pixels(**options):
        ((images, _),) = training(split, augment="light", **options)
        return np.sort(images.reshape(4, -1), axis=0)  # whatever the order

    first = pixels()
    assert np.abs(first - pixels(seed=1)).max() > 1
    assert np.abs(first - pixels(start_epoch=1, epochs=2)).max() > 1
    assert first.min() >= 0
    assert first.max() <= 255


def test_what_was_seen_is_skipped_before_it_is_decoded():
    good, _ = make_split()

    def examples(seed):
        broken = tf.data.Dataset.range(4).map(
            lambda index: {"index": index, "image": tf.constant(b"broken"), "label": index}
        )
        return broken.concatenate(good.examples(seed).take(4))

    split = data.Split("train", 8, examples)
    assert len(training(split, start_step=1)) == 1
    with pytest.raises(tf.errors.InvalidArgumentError):
        training(split)


def test_nothing_is_left_after_the_last_step():
    split, _ = make_split()
    assert training(split, start_epoch=0, start_step=2) == []
    assert training(split, start_epoch=1, epochs=1) == []


def test_evaluation_keeps_stored_order_and_every_image():
    split, pixels = make_split()
    batches = list(pipeline.evaluation_batches(split, 8, 4))
    assert [len(images) for images, _ in batches] == [4, 4, 3]
    np.testing.assert_array_equal(np.concatenate([x for x, _ in batches]), pixels)
    np.testing.assert_array_equal(np.concatenate([y for _, y in batches]), np.arange(SIZE) % 3)


@pytest.mark.parametrize("size", [5, 8, 20])
def test_evaluation_resizes_to_a_square_with_antialiasing(size):
    pixels = np.random.default_rng(0).integers(0, 256, (8, 12, 3), "uint8")
    split = data.Split(
        "test",
        1,
        lambda _: tf.data.Dataset.from_tensors(
            {"index": np.int64(0), "image": encode(pixels), "label": np.int64(0)}
        ),
    )
    ((images, _),) = pipeline.evaluation_batches(split, size, 1)
    expected = tf.image.resize(pixels, (size, size), antialias=True)
    np.testing.assert_allclose(images[0], expected, atol=1e-3)


@pytest.mark.parametrize(
    "shape", [(40, 40), (41, 40), (60, 80), (93, 121), (300, 20), (20, 300), (1, 99)]
)
def test_resizing_is_tensorflows_own_bit_for_bit(shape):
    pixels = np.random.default_rng(0).integers(0, 256, (*shape, 3), "uint8")
    expected = tf.image.resize(pixels, (40, 40), antialias=max(shape) > 40)
    np.testing.assert_array_equal(pipeline.resize(tf.constant(pixels), 40), expected)


@pytest.mark.parametrize("kind", ["jpeg", "png", "bmp", "gif"])
def test_formats(kind):
    split, pixels = make_split(size=2, kind=kind)
    ((images, _),) = pipeline.evaluation_batches(split, 8, 2)
    expected = [np.asarray(Image.open(io.BytesIO(encode(p, kind))).convert("RGB")) for p in pixels]
    tolerance = 8 if kind == "jpeg" else 0  # decoders interpolate JPEG's colors differently
    np.testing.assert_allclose(images, expected, atol=tolerance)


def test_a_folder_feeds_training(tmp_path):
    for name in ("jay", "owl"):
        (tmp_path / name).mkdir()
        for i in range(10):
            Image.new("RGB", (12, 9), (i, i, i)).save(tmp_path / name / f"{i}.png")
    source = data.load(f"folder:{tmp_path}")
    batches = training(source.splits["train"], epochs=2, num_classes=2, augment="light")
    assert len(batches) == 2 * (source.splits["train"].size // 4) > 2
    resumed = training(
        source.splits["train"], epochs=2, num_classes=2, augment="light", start_step=2
    )
    assert_equal(resumed, batches[2:])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"augment": "heavy"}, "augment='heavy'"),
        ({"start_epoch": 2}, r"`start_epoch` in 0…1"),
        ({"start_step": 3}, r"`start_step` in 0…2"),
    ],
)
def test_bad_arguments(options, message):
    split, _ = make_split()
    with pytest.raises(ValueError, match=message):
        training(split, **options)


@pytest.mark.parametrize("batch_size", [1, 2, 8])
def test_photos_are_as_evaluation_has_them_less_those_that_cannot_be_read(tmp_path, batch_size):
    rng = np.random.default_rng(0)
    split, _ = make_split(size=5, side=40)
    contents = [example["image"].numpy() for example in split.examples(None)]
    contents[0] = contents[3] = b"no image"
    for i, content in enumerate(contents):
        (tmp_path / f"{i}.png").write_bytes(content)
    turned = tmp_path / "turned.jpg"  # what Pillow reads
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(rng.integers(0, 256, (30, 20, 3), "uint8")).save(turned, exif=exif)
    paths = [*(tmp_path / f"{i}.png" for i in range(5)), tmp_path / "none.png", turned]
    batches = list(pipeline.photo_batches(paths, 16, batch_size).as_numpy_iterator())
    assert [len(places) for places, _ in batches[:-1]] == [batch_size] * (len(batches) - 1)
    assert np.concatenate([places for places, _ in batches]).tolist() == [1, 2, 4, 6]
    images = np.concatenate([images for _, images in batches])
    ((expected, _),) = pipeline.evaluation_batches(split, 16, 8)
    np.testing.assert_array_equal(images[:3], expected.numpy()[[1, 2, 4]])
    np.testing.assert_array_equal(images[3], pipeline.resize(decode.read_image(turned), 16))
