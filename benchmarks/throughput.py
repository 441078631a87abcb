"""How fast photos are read, and whether training waits: `python benchmarks/throughput.py`."""

import os
import pathlib
import statistics
import tempfile
import time

from absl import app, flags

_PATH = flags.DEFINE_string("path", None, "JPEGs, one folder a class; drawn unless given.")
_PHOTOS = flags.DEFINE_integer("photos", 512, "Photos to draw.", lower_bound=32)
_IMAGE_SIZE = flags.DEFINE_integer("image_size", 448, "Side of an image, pixels.", lower_bound=32)
_ROUNDS = flags.DEFINE_integer("rounds", 5, "Times each rate is measured.", lower_bound=1)
_STEPS = flags.DEFINE_integer("steps", 10, "Training steps a round.", lower_bound=1)

BATCH_SIZE = 16
DECODE, RESIZE = "JPEG decode alone", "decode, flip, resize"
PIPELINE, KERAS = "training_batches", "image_dataset_from_directory"
TRAINING = "training (edge)"
TARGETS = ((RESIZE, DECODE, 0.6), (PIPELINE, TRAINING, 3.0), (PIPELINE, KERAS, 1.0))


def main(_):
    """Measure every rate in turn, `--rounds` times, and print the medians and their ratios."""
    from rra_keras import cli

    with tempfile.TemporaryDirectory() as drawn:
        folder = pathlib.Path(_PATH.value or drawn)
        if not _PATH.value:
            draw_photos(folder, _PHOTOS.value, _IMAGE_SIZE.value)
        elif len(jpegs(folder)) < 2 * BATCH_SIZE:
            cli.fail(f"--path: expected JPEGs, one folder a class. Received: {folder}")
        measures = {**readers(folder, _IMAGE_SIZE.value), TRAINING: trainer(_IMAGE_SIZE.value)}
        for measure in measures.values():
            measure()  # what is traced, compiled and read from disk once
        rounds = [
            {name: timed(measure) for name, measure in measures.items()}
            for _ in range(_ROUNDS.value)
        ]
    print(report(rounds))


def draw_photos(folder, count, size):
    """Write `count` JPEGs of two classes, both sides of `size` to 4/3 `size` pixels."""
    import numpy as np
    from PIL import Image

    from rra_keras.datasets.synthetic_birds.drawing import draw_example
    from rra_keras.datasets.synthetic_birds.species import SPECIES

    rng = np.random.default_rng(0)
    species = list(SPECIES)
    birds = [draw_example(name, rng)["image"] for name in species[: min(count, len(species))]]
    for i in range(count):
        photo = Image.fromarray(birds[i % len(birds)])
        sides = rng.integers(size, 4 * size // 3, 2, endpoint=True)
        path = folder / "ab"[i % 2] / f"{i}.jpg"
        path.parent.mkdir(exist_ok=True)
        photo.resize(tuple(map(int, sides)), Image.Resampling.BICUBIC).save(path, quality=92)


def jpegs(folder):
    """Return the JPEG files of `folder`, which has one folder a class."""
    return sorted(folder.glob("*/*.jp*g"))


def readers(folder, size):
    """Return, by name, functions that read photos of `folder` and return how many they read."""
    import keras
    import tensorflow as tf

    from rra_keras import data
    from rra_keras.data import augment, pipeline
    from rra_keras.data.decode import decode

    def seeds(index):
        return tf.unstack(tf.random.split(tf.random.fold_in([0, 0], index)))

    def resized(index, encoded):
        image = decode(encoded)
        flip = tf.random.stateless_uniform([], seeds(index)[0]) < 0.5
        image = tf.cond(flip, lambda: tf.reverse(image, [1]), lambda: image)
        return pipeline.resize(image, size)

    def augmented(index, example):
        image, label = example
        crop_seed, color_seed = seeds(index)
        image = augment.random_crop_and_flip(image, crop_seed)
        return augment.light_color(tf.image.resize(image, (size, size)), color_seed), label

    def mapped(dataset, function):
        dataset = dataset.enumerate().map(function, num_parallel_calls=tf.data.AUTOTUNE)
        return dataset.batch(BATCH_SIZE, drop_remainder=True).prefetch(tf.data.AUTOTUNE)

    encoded = tf.data.Dataset.from_tensor_slices([file.read_bytes() for file in jpegs(folder)])
    split = data.load(f"folder:{folder}").splits["train"]
    plain = keras.utils.image_dataset_from_directory(
        folder, label_mode="categorical", batch_size=None, image_size=(size, size), verbose=False
    )

    datasets = {  # Of the first two, one number an image is all that goes on.
        DECODE: mapped(encoded, lambda _, jpeg: tf.io.decode_jpeg(jpeg)[0, 0, 0]),
        RESIZE: mapped(encoded, lambda *example: resized(*example)[0, 0, 0]),
        PIPELINE: pipeline.training_batches(split, size, BATCH_SIZE, epochs=2),
        KERAS: mapped(plain, augmented),
    }
    return {
        name: lambda dataset=dataset: BATCH_SIZE * sum(1 for _ in dataset)
        for name, dataset in datasets.items()
    }


def trainer(size):
    """Return a function that trains the default model and returns on how many images."""
    import keras
    import numpy as np

    from rra_keras import RRAClassifier
    from rra_keras.training.config import configure

    config = configure("edge", {"image_size": size})
    model = RRAClassifier(num_classes=20, weights="random", **config.model)
    model.compile(keras.optimizers.SGD(config.learning_rate, momentum=0.9))
    images = np.random.default_rng(0).uniform(0, 255, (BATCH_SIZE, size, size, 3)).astype("float32")
    labels = keras.utils.to_categorical(np.arange(BATCH_SIZE), 20)

    def train():
        for _ in range(_STEPS.value):
            model.train_on_batch(images, labels)
        return BATCH_SIZE * _STEPS.value

    return train


def timed(measure):
    """Return images a second, and the processor's milliseconds for one."""
    start, busy = time.perf_counter(), time.process_time()
    images = measure()
    seconds, busy = time.perf_counter() - start, time.process_time() - busy
    return images / seconds, 1e3 * busy / images


def report(rounds):
    """Return the table: a line a rate, then a line a ratio of medians with its target."""
    cores = len(os.sched_getaffinity(0))
    lines = [f"{'':30}images/s  (range)        CPU ms/image   {len(rounds)} rounds, {cores} cores"]
    medians = {}
    for name in rounds[0]:
        rates, busy = zip(*(measured[name] for measured in rounds), strict=True)
        medians[name] = statistics.median(rates)
        span = f"({min(rates):.0f} … {max(rates):.0f})"
        lines.append(f"{name:30}{medians[name]:8.0f}  {span:14} {statistics.median(busy):12.1f}")
    for name, other, target in TARGETS:
        ratio = medians[name] / medians[other]
        verdict = "met" if ratio >= target else "missed"
        lines.append(f"{name} / {other}: {ratio:.2f}, at least {target} wanted: {verdict}")
    return "\n".join(lines)


if __name__ == "__main__":
    app.run(main)
