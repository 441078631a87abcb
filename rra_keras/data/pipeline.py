"""From a split to batches that a model trains and is evaluated on.

Every random choice is a function of (seed, epoch, index), so a run that stops can go on in
mid-epoch with the batches it would have seen.
"""

import os

import tensorflow as tf

from rra_keras.data import augment as augmentation
from rra_keras.data.decode import decode, needs_pillow, upright

AUGMENTATIONS = ("none", "light", "rand", "mix")


def training_batches(
    split,
    image_size,
    batch_size,
    augment="light",
    mirror=True,
    num_classes=None,
    smallest_crop=augmentation.SMALLEST_CROP,
    seed=0,
    epochs=1,
    start_epoch=0,
    start_step=0,
    shard=(0, 1),
):
    """Return the batches of all epochs, one after the other, for `fit(..., steps_per_epoch=...)`.

    1. Each epoch orders the examples by (`seed`, epoch) and drops what does not fill a batch:
       `size // batch_size` batches, or one of all examples where there are fewer.
    2. What a resumed run has seen already is skipped, undecoded.
    3. Each image is decoded, augmented by (`seed`, epoch, index) and resized to a square; the
       aspect ratio is not kept (as in the paper).
    4. How many images are worked on at once, and how many batches wait, is left to tf.data, which
       measures what the machine makes of it (`AUTOTUNE`).

    Args:
        split: a `Split`.
        image_size: side in pixels, S.
        batch_size: images a batch, B.
        augment: `"none"`; `"light"` (crop, flip, color); `"rand"` (crop and flip, then
            RandAugment); `"mix"` (light, then MixUp or CutMix of the batch).
        mirror: whether augmentation flips half of the images, left to right.
        num_classes: C, for `"mix"`.
        smallest_crop: least share of an image's sides that a crop of it keeps; 1 leaves images
            whole, for a model that crops by itself.
        seed: sets order and augmentation.
        epochs: the epoch to stop before, counted from 0.
        start_epoch: the first epoch.
        start_step: batches of the first epoch to leave out.
        shard: `(i, n)` for the i-th of n equal shards of each batch; n divides B, and B below is
            that of a shard.

    Returns:
        A finite `tf.data.Dataset` of images float32 `(B, S, S, 3)`, 0…255, and labels, int32
        `(B,)`, or `(B, C)` of 0 and 1 where a photo may have several; with `"mix"` float32
        `(B, C)`.

    Raises:
        ValueError: for an unknown `augment`, or a start outside of the run.

    Example:
        batches = pipeline.training_batches(split, 64, batch_size=4, epochs=2)
        assert len(batches) == 2 * pipeline.steps_per_epoch(split, batch_size=4)
    """
    if augment not in AUGMENTATIONS:
        raise ValueError(
            f"Invalid value for `augment`. Expected one of {AUGMENTATIONS}. "
            f"Received: augment={augment!r}"
        )
    steps = steps_per_epoch(split, batch_size)
    if not (0 <= start_epoch <= epochs and 0 <= start_step <= steps):
        raise ValueError(
            f"Invalid start. Expected `start_epoch` in 0…{epochs} and `start_step` in 0…{steps}. "
            f"Received: start_epoch={start_epoch}, start_step={start_step}"
        )
    batch_size = min(batch_size, split.size)
    number, count = shard
    if batch_size % count or not 0 <= number < count:
        raise ValueError(
            "Invalid value for `shard`. Expected `(i, n)` with i in 0…n − 1 and n a divisor of the "
            f"batch size {batch_size}. Received: shard={shard}"
        )
    shard_size = batch_size // count

    def in_shard(place, _):
        return place % batch_size // shard_size == number

    def one_epoch(epoch):
        order_seed = tf.random.stateless_uniform([], [seed, epoch], None, None, tf.int64)
        seen = tf.where(epoch == start_epoch, tf.constant(start_step * batch_size, tf.int64), 0)
        examples = split.examples(order_seed).take(steps * batch_size).skip(seen)
        if count > 1:
            examples = examples.enumerate().filter(in_shard).map(lambda _, example: example)
        return examples.map(lambda example: {**example, "epoch": epoch})

    def load(example):
        image = decode(example["image"], image_size)
        key = tf.random.fold_in([seed, example["epoch"]], example["index"])
        crop_seed, color_seed = tf.unstack(tf.random.split(key))
        if augment != "none":
            image = augmentation.random_crop_and_flip(image, crop_seed, smallest_crop, mirror)
        image = resize(image, image_size)
        if augment in ("light", "mix"):
            image = augmentation.light_color(image, color_seed)
        elif augment == "rand":
            image = augmentation.rand_augment(image, color_seed)
        if augment == "mix" and example["label"].shape.rank:
            return image, tf.cast(example["label"], tf.float32)
        if augment == "mix":
            return image, tf.one_hot(example["label"], num_classes)
        return image, tf.cast(example["label"], tf.int32)

    batches = (
        tf.data.Dataset.range(start_epoch, epochs)
        .flat_map(one_epoch)
        .map(load, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        .batch(shard_size, drop_remainder=True)
    )
    first = start_epoch * steps + start_step
    if augment == "mix":
        batches = batches.enumerate(first).map(
            lambda step, batch: augmentation.mix(*batch, tf.random.fold_in([seed, -1], step)),
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=True,
        )
    remaining = max(epochs * steps - first, 0)
    return batches.apply(tf.data.experimental.assert_cardinality(remaining)).prefetch(
        tf.data.AUTOTUNE
    )


def steps_per_epoch(split, batch_size):
    """Return the number of training batches in an epoch.

    What does not fill a batch is dropped; with fewer examples than a batch there is one of all.

    Example:
        assert split.size == 22
        assert pipeline.steps_per_epoch(split, batch_size=4) == 5
    """
    return max(split.size // batch_size, 1)


def evaluation_batches(split, image_size, batch_size):
    """Return all examples once, in stored order and unchanged but for the resize.

    Args:
        split: a `Split`.
        image_size: side in pixels, S.
        batch_size: images a batch, B; the last batch may hold fewer.

    Returns:
        A `tf.data.Dataset` of images float32 `(B, S, S, 3)`, 0…255, and labels int32 `(B,)`.

    Example:
        batches = pipeline.evaluation_batches(split, 64, batch_size=4)
        images, labels = next(iter(batches))
    """

    def load(example):
        image = resize(decode(example["image"], image_size), image_size)
        return image, tf.cast(example["label"], tf.int32)

    return (
        split.examples(None)
        .map(load, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        .batch(batch_size)
        # Keras asks for it, and of a part of a split tf.data does not know it.
        .apply(tf.data.experimental.assert_cardinality(-(-split.size // batch_size)))
        .prefetch(tf.data.AUTOTUNE)
    )


def photo_batches(paths, image_size, batch_size):
    """Return photos that have no label, in order, without those that cannot be read.

    What is left out shows in the gaps of the places; `decode.read_image` tells why.

    Args:
        paths: of image files.
        image_size: side in pixels, S.
        batch_size: photos a batch, B; the last batch may hold fewer.

    Returns:
        A `tf.data.Dataset` of places in `paths`, int64 `(B,)`, and images float32
        `(B, S, S, 3)`, 0…255, as `evaluation_batches` gives them.

    Example:
        paths = [f"{photos}/{name}" for name in ("red/g0_0.png", "red/none.png", "red/g0_1.png")]
        places, images = next(iter(pipeline.photo_batches(paths, 64, batch_size=4)))
        assert places.numpy().tolist() == [0, 2]
    """

    def load(place, path):
        pillow = tf.numpy_function(needs_pillow, [path], tf.bool)
        encoded = upright(tf.io.read_file(path), path, tf.ensure_shape(pillow, ()))
        return place, resize(decode(encoded, image_size), image_size)

    return (
        tf.data.Dataset.from_tensor_slices([os.fsencode(path) for path in paths])
        .enumerate()
        .map(load, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        .ignore_errors()
        .batch(batch_size)
        .prefetch(tf.data.AUTOTUNE)
    )


def resize(image, size):
    """Resize to a square, bilinear and antialiased; the aspect ratio is not kept.

    Args:
        image: `(H, W, 3)`, uint8.
        size: side in pixels, S.

    Returns:
        float32 `(S, S, 3)`.

    Example:
        image = pipeline.resize(ops.convert_to_tensor(images[0]), 32)
        assert image.shape == (32, 32, 3)
    """
    # Antialiasing changes nothing where no side shrinks, but its kernel is slower.
    image = tf.cond(
        tf.reduce_all(tf.shape(image)[:2] <= size),
        lambda: tf.image.resize(image, (size, size)),
        lambda: _resize_and_turn(_resize_and_turn(image, size), size),
    )
    return tf.ensure_shape(image, (size, size, 3))


def _resize_and_turn(image, size):
    """`(H, W, 3)` → float32 `(W, size, 3)`: the height resized, then both sides exchanged.

    Twice, it gives what `tf.image.resize(image, (size, size), antialias=True)` gives, bit for bit,
    in half the time: that kernel is only fast along columns of long rows, so a row is handed to
    it as one pixel of many channels.
    """
    height, width = tf.unstack(tf.shape(image)[:2])
    rows = tf.raw_ops.ScaleAndTranslate(
        images=tf.reshape(image, (1, height, 1, 3 * width)),
        size=(size, 1),
        scale=tf.stack([size / tf.cast(height, tf.float32), 1.0]),
        translation=(0.0, 0.0),
        kernel_type="triangle",
        antialias=True,
    )
    return tf.transpose(tf.reshape(rows, (size, width, 3)), (1, 0, 2))
