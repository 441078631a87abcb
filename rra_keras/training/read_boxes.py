"""Boxes that say their label teach the reader: each is read by itself, before whole photos are."""

import keras
import numpy as np
import tensorflow as tf

from rra_keras.data import augment, pipeline
from rra_keras.data import boxes as box_data
from rra_keras.data.decode import decode
from rra_keras.layers import BoxJitter
from rra_keras.models.base import BinaryCrossEntropy
from rra_keras.models.classifier import box_to_read
from rra_keras.runs.collect import progress_style
from rra_keras.training.devices import scope
from rra_keras.training.optimizer import make_optimizer

ELSEWHERE = 0.25  # share of the crops that are cut anywhere and show nothing


def labeled_boxes(source, table):
    """Return the boxes of training photos that say their label.

    Args:
        source: a `Source` of several labels a photo.
        table: the run's `boxes.csv`.

    Returns:
        Places of the photos `(P,)`; boxes `(P, M, 4)`, NaN where a photo has fewer; and the class
        of each, `(P, M)` integers, -1 where there is none.
    """
    train = source.splits["train"]
    boxes = train.boxes if train.names is None else box_data.of_split(source, "train", table)
    place = {name: i for i, name in enumerate(source.class_names)}
    labels = np.vectorize(lambda name: place.get(name, -1), otypes=[int])(boxes.labels)
    labels[np.isnan(boxes.objects[..., 0])] = -1
    rows = np.flatnonzero((labels >= 0).any(axis=1))
    return rows, boxes.objects[rows].astype("float32"), labels[rows]


def teach_reader(config, split, model, boxes, labels, mirror=True):
    """Fit encoder and classifier of a model on crops at given boxes.

    1. Of each photo one of its boxes, drawn each time, moved at random as found ones are, is
       cut from full resolution. Its own label is there, and no other.
    2. A quarter of the crops are as large and anywhere, and show nothing.
    3. As many epochs, and the same optimizer, as for whole photos.

    Args:
        config: a `Config`.
        split: a `Split` of P photos.
        model: an `RRAClassifier` with `answer="any"` and a localizer.
        boxes: `(P, M, 4)`, NaN where a photo has fewer.
        labels: `(P, M)`, their classes, -1 for none.
        mirror: whether half of the photos are mirrored.
    """
    batch_size = min(config.batch_size, split.size)
    steps = split.size // batch_size
    with scope(model):
        images, box = keras.Input((model.image_size,) * 2 + (3,)), keras.Input((4,))
        moved = BoxJitter(seed=config.seed)(box_to_read(box))
        features = model.encoder(model.zoom_crop([images, moved]))[0]
        reader = keras.Model([images, box], model.classifier(model.pool(features)))
        optimizer = make_optimizer(config, model, steps)
        optimizer.build(reader.trainable_variables)
        reader.compile(optimizer, BinaryCrossEntropy(config.label_smoothing), jit_compile=False)
    reader.fit(
        crops_at(split, boxes, labels, model, batch_size, config, mirror),
        epochs=config.epochs,
        steps_per_epoch=steps,
        shuffle=False,
        verbose=progress_style(),
    )


def crops_at(split, boxes, labels, model, batch_size, config, mirror=True):
    """Return batches of `((images, boxes), labels)`, without end."""
    order = np.argsort(labels < 0, axis=1, kind="stable")  # boxes without a label last
    boxes = tf.constant(np.take_along_axis(boxes, order[..., None], axis=1))
    count = tf.constant((labels >= 0).sum(axis=1))
    labels = tf.constant(np.take_along_axis(labels, order, axis=1))
    size, seed = model.image_size, config.seed

    def load(example):
        key = tf.random.fold_in([seed, example["epoch"]], example["index"])
        keys = tf.unstack(tf.random.split(key, 5), num=5)
        image = pipeline.resize(decode(example["image"], size), size)
        place = example["index"]
        j = tf.random.stateless_uniform((), keys[0], 0, count[place], tf.int64)
        box, there = boxes[place, j], tf.one_hot(labels[place, j], model.num_classes)
        elsewhere = tf.random.stateless_uniform((), keys[1]) < ELSEWHERE
        corner = tf.random.stateless_uniform((2,), keys[2]) * (1 - (box[2:] - box[:2]))
        away = tf.concat([corner, corner + box[2:] - box[:2]], axis=0)
        box, there = tf.where(elsewhere, away, box), tf.where(elsewhere, 0.0, there)
        mirrored = tf.random.stateless_uniform((), keys[3]) < (0.5 if mirror else 0.0)
        image = tf.where(mirrored, image[:, ::-1], image)
        turned = tf.stack([box[0], 1 - box[3], box[2], 1 - box[1]])
        if config.augment != "none":
            image = augment.light_color(image, keys[4])
        return (image, tf.where(mirrored, turned, box)), there

    def one_epoch(epoch):
        order_seed = tf.random.stateless_uniform([], [seed, epoch], None, None, tf.int64)
        return split.examples(order_seed).map(lambda example: {**example, "epoch": epoch})

    return (
        tf.data.Dataset.range(2**31)
        .flat_map(one_epoch)
        .map(load, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        .batch(batch_size, drop_remainder=True)
        .prefetch(2)
    )
