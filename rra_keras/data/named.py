"""Sets of TensorFlow Datasets, and those that the package adds to them, by name."""

import contextlib
import difflib
import functools
import importlib
import io
import sys

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
from absl import logging

from rra_keras.data import cache, splits
from rra_keras.data.boxes import Boxes
from rra_keras.data.published import OWN, SPLITS
from rra_keras.data.sources import Source, Split

DRAWN = ("synthetic_birds",)  # with nothing to download
SHUFFLE_BUFFER = 2048  # encoded images; the stored order is a random one already


@contextlib.contextmanager
def _hushed():
    """Hold back the library's warnings, which no user can act on, unless asked for by verbosity."""
    before = logging.get_verbosity()
    if before == logging.WARNING:
        logging.set_verbosity(logging.ERROR)
    try:
        yield
    finally:
        logging.set_verbosity(before)


@_hushed()
def load(name, data_dir=None, seed=0) -> Source:
    """Load an image classification set, downloading and preparing it where needed.

    With train, validation and test, each is what it says. With train and one other, the other is
    the test split and 15 % of train are held out for validation. With one split, 20 % of it are
    held out for test and 15 % for validation. Sets that take little of the memory
    (`cache.SHARE`) stay there once they are read.

    Args:
        name: as TensorFlow Datasets knows it, or one of `OWN`.
        data_dir: where prepared sets and downloads are kept; `None` for the library's default.
        seed: sets which images are held out.

    Returns:
        A `Source` of encoded images.

    Raises:
        ValueError: for an unknown name, a set without images or class labels, and a set that
            cannot be downloaded.
    """
    builder = _builder(name, data_dir)
    image_key, label_key = _keys(builder)
    _prepare(builder)
    given = SPLITS.get(builder.name) or tuple(builder.info.splits)
    assigned = splits.assign(given) or {"train": given[0]}

    notes = [f"{split}: the set's own {tfds_split!r}" for split, tfds_split in assigned.items()]
    stored = {
        split: _stored(builder, tfds_split, image_key, label_key)
        for split, tfds_split in assigned.items()
    }
    sizes = {split: int(dataset.cardinality()) for split, dataset in stored.items()}
    labels = {
        split: functools.cache(functools.partial(_labels, builder, tfds_split, label_key))
        for split, tfds_split in assigned.items()
    }
    boxes = {
        split: functools.cache(functools.partial(_boxes, builder, tfds_split))
        for split, tfds_split in assigned.items()
    }
    if shares := splits.missing_shares(assigned):
        indices = splits.by_image(sizes["train"], shares, seed)
        whole, whole_labels, whole_boxes = stored["train"], labels["train"], boxes["train"]
        for split, chosen in indices.items():
            stored[split] = _pick(whole, sizes["train"], chosen)
            labels[split] = lambda chosen=chosen: whole_labels()[chosen]
            boxes[split] = lambda chosen=chosen: whole_boxes() and whole_boxes()[chosen]
        sizes |= {split: len(chosen) for split, chosen in indices.items()}
        notes.append(f"held out of the training images with seed {seed}: {', '.join(shares)}")

    stays = cache.fits(builder.info.dataset_size)
    return Source(
        name=name,
        class_names=tuple(_class_names(builder.info.features[label_key])),
        splits={
            split: _split(split, sizes[split], stored[split], labels[split], boxes[split], stays)
            for split in ("train", "validation", "test")
        },
        notes=tuple(notes),
    )


def _builder(name, data_dir):
    if (base := name.split("/")[0]) in OWN:
        importlib.import_module(f"rra_keras.datasets.{base}")
    try:
        return tfds.builder(name, data_dir=data_dir)
    except (tfds.core.DatasetNotFoundError, ValueError):
        known = {*OWN, *tfds.list_builders()}
        nearest = difflib.get_close_matches(name, known, n=3, cutoff=0.5) or sorted(SPLITS)
        raise ValueError(
            "Invalid value for `dataset`. Expected a TensorFlow Datasets name, "
            f"{', '.join(map(repr, OWN))} "
            f"or 'folder:PATH'. Received: dataset={name!r}. Nearest: {', '.join(nearest)}"
        ) from None


def _keys(builder):
    """The names of the features that hold the image and its class."""
    features = dict(builder.info.features)
    usual = ("image", "label" if "label" in features else "labels")
    keys = builder.info.supervised_keys or usual
    image, label = (features.get(key) for key in keys[:2])
    if not (len(keys) == 2 and isinstance(image, tfds.features.Image) and _class_names(label)):
        raise ValueError(
            "Expected a set of images with a class label each, or a sequence of them. Received: "
            f"{builder.name!r} with the features {', '.join(features)}"
        )
    return keys


def _class_names(label):
    """The classes of a label's feature, or of a sequence of labels; `None` for other features."""
    label = label.feature if isinstance(label, tfds.features.Sequence) else label
    return label.names if isinstance(label, tfds.features.ClassLabel) else None


def _as_label(builder, label_key):
    """Return a function from what is stored to an int64 label, or to a row of 0 and 1."""
    feature = builder.info.features[label_key]
    if not isinstance(feature, tfds.features.Sequence):
        return lambda label: tf.cast(label, tf.int64)
    count = feature.feature.num_classes
    return lambda labels: tf.reduce_max(
        tf.concat([tf.zeros((1, count), tf.int64), tf.one_hot(labels, count, dtype=tf.int64)], 0), 0
    )


def _prepare(builder):
    if builder.name == "caltech_birds2011" and not builder.is_prepared():
        try:
            importlib.import_module("cv2")  # tfds would ask for it after a download of 1.2 GB
        except ImportError:
            raise ValueError(
                "Preparing caltech_birds2011 needs OpenCV to read its masks: "
                "`pip install opencv-python-headless`, then run again"
            ) from None
    try:
        if builder.name in DRAWN and not builder.is_prepared():
            _draw(builder)
        else:
            builder.download_and_prepare()
    except Exception as error:  # whatever the network, the archive or the disk brings
        reason = (str(error).splitlines() or [""])[0]
        message = f"Cannot prepare {builder.name} ({type(error).__name__}: {reason})."
        archives = {info.filename: url for url, info in reversed(builder.url_infos.items())}
        if archives:
            message += (
                f" Get {', '.join(f'{name} from {url}' for name, url in archives.items())} by hand,"
                f" put them as they are into {builder.data_dir_root / 'downloads' / 'manual'}"
                " (--data_dir sets the first part), and run again"
            )
        raise ValueError(message) from error


def _draw(builder):
    """Prepare a set without TensorFlow Datasets' talk of a download; the builder shows a bar."""
    count = sum(builder.builder_config.sizes)
    print(f"Drawing {count} images of {builder.name} into {builder.data_dir}", file=sys.stderr)
    tfds.disable_progress_bar()
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            builder.download_and_prepare()
    finally:
        tfds.enable_progress_bar()


def _stored(builder, split, image_key, label_key):
    """The encoded images and labels of a split, in stored order."""
    decoders = tfds.decode.PartialDecoding(
        {image_key: True, label_key: True}, {image_key: tfds.decode.SkipDecoding()}
    )
    stored = builder.as_dataset(split=split, decoders=decoders, read_config=_in_order())
    as_label = _as_label(builder, label_key)
    return stored.map(lambda example: (example[image_key], as_label(example[label_key])))


@_hushed()
def _labels(builder, split, label_key):
    """The labels of a split, int64 `(N,)` or `(N, C)`, in stored order; no image is parsed."""
    decoders = tfds.decode.PartialDecoding({label_key: True})
    stored = builder.as_dataset(split=split, decoders=decoders, read_config=_in_order())
    as_label = _as_label(builder, label_key)
    labels = stored.map(lambda example: as_label(example[label_key]))
    return np.concatenate(list(labels.batch(1024).as_numpy_iterator()))


def _boxes(builder, split):
    """The boxes of a split's photos, `Boxes`, in stored order; `None` if the set has none."""
    features = builder.info.features
    key = next((k for k in features if isinstance(features[k], tfds.features.BBoxFeature)), None)
    if key is None:
        return _several_boxes(builder, split)
    wanted = {name: True for name in (key, "parts", "distinguishing_part") if name in features}
    decoders = tfds.decode.PartialDecoding(wanted)
    stored = builder.as_dataset(split=split, decoders=decoders, read_config=_in_order())
    examples = list(stored.as_numpy_iterator())
    objects = np.array([example[key] for example in examples], "float64")[:, None]  # (N, 1, 4)
    if "distinguishing_part" not in wanted:
        return Boxes(objects)
    parts = []
    for example in examples:
        named = dict(zip(example["parts"]["name"], example["parts"]["box"], strict=True))
        parts.append([named[example["distinguishing_part"]]])
    return Boxes(objects, parts=np.array(parts, "float64"))  # (N, 1, 4)


def _several_boxes(builder, split):
    """The boxes of `objects`, a sequence of boxes and labels; `None` if the set has none."""
    objects = dict(builder.info.features).get("objects")
    inner = objects.feature if isinstance(objects, tfds.features.Sequence) else {}
    box = next((k for k in inner if isinstance(inner[k], tfds.features.BBoxFeature)), None)
    if box is None or not isinstance(inner["label"], tfds.features.ClassLabel):
        return None
    decoders = tfds.decode.PartialDecoding({"objects": {box: True, "label": True}})
    stored = builder.as_dataset(split=split, decoders=decoders, read_config=_in_order())
    found = [example["objects"] for example in stored.as_numpy_iterator()]
    most = max((len(each[box]) for each in found), default=0)
    boxes = np.full((len(found), max(most, 1), 4), np.nan)
    labels = np.full(boxes.shape[:2], None, object)
    for i, each in enumerate(found):
        boxes[i, : len(each[box])] = each[box]
        labels[i, : len(each[box])] = [inner["label"].names[label] for label in each["label"]]
    return Boxes(boxes, labels=labels)


def _in_order():
    """One file after the other: the order must not depend on the machine."""
    return tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False)


def _pick(dataset, size, indices):
    """The elements at `indices`, in stored order."""
    picked = np.zeros(size, bool)
    picked[indices] = True
    picked = tf.constant(picked)
    kept = dataset.enumerate().filter(lambda index, _: picked[index])
    return kept.map(lambda _, example: example)


def _shuffle(dataset, buffer_size, seed):
    """`Dataset.shuffle` by `seed` only.

    The method itself mixes in TensorFlow's global seed, and where that is 0 takes no tensor.
    """
    specs = tf.nest.flatten(dataset.element_spec)
    variant = tf.raw_ops.ShuffleDataset(
        input_dataset=tf.data.experimental.to_variant(dataset),
        buffer_size=buffer_size,
        seed=seed,
        seed2=1,  # with 0 and 0 the op would take a random seed
        reshuffle_each_iteration=False,
        output_types=[spec.dtype for spec in specs],
        output_shapes=[spec.shape for spec in specs],
    )
    return tf.data.experimental.from_variant(variant, dataset.element_spec)


def _split(name, size, stored, read_labels, read_boxes, stays):
    """A `Split`; `stays`: whether its images stay in memory once they are read."""
    if stays and name != "test":  # which is read once
        stored = stored.cache()
    indexed = stored.enumerate()

    def entries(seed):
        dataset = indexed
        if seed is not None:
            dataset = _shuffle(dataset, min(size, SHUFFLE_BUFFER), seed)
        return dataset.map(
            lambda index, example: {
                "index": index,
                "image": example[0],
                "label": example[1],
            }
        )

    return Split(name, size, entries, read_labels=read_labels, read_boxes=read_boxes)
