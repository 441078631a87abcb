"""Own images: one folder a class, with or without split folders.

Needs no TensorFlow until examples are asked for, so a folder is checked quickly.
"""

import dataclasses
import pathlib
import re

import numpy as np
from absl import logging
from PIL import Image

from rra_keras.data import splits
from rra_keras.data.source import Source, Split

IMAGE_FORMATS = ("JPEG", "PNG", "GIF", "BMP")  # what `tf.io.decode_image` reads


@dataclasses.dataclass(frozen=True)
class _Image:
    path: pathlib.Path
    label: int
    group: str | None


def load(path, group_regex=None, seed=0, strict=False) -> Source:
    """Reads a folder of images into train, validation and test.

    1. Split folders are `train`/`training`, `val`/`valid`/`validation`, `test`/`testing`, in any
       case. With all three, each is what it says. With train and one other, the other is the
       test split and 15 % of train are held out for validation. With one or none, 20 % are held
       out for test and 15 % for validation.
    2. Classes are the folders of the training images, sorted by name.
    3. Hold-outs are drawn from `seed`, class by class, or group by group with `group_regex`.

    Args:
        path: the folder.
        group_regex: searched in each file's name (without its folder); its first group, or the
            whole match where it has none, is a key, and images of one key stay in one split.
        seed: sets which images are held out.
        strict: whether a file that is no image is an error; otherwise it is named and skipped.

    Returns:
        A `Source` whose splits have `names`, relative to `path`.

    Raises:
        ValueError: naming what was expected and what was found.
    """
    root = pathlib.Path(path).expanduser()
    if not path or not root.is_dir():
        raise ValueError(f"Expected `folder:PATH` with a folder that exists. Received: {path!r}")
    pattern = _compile(group_regex)
    folders = _split_folders(root)
    class_names = _class_names(folders["train"])

    skipped = []
    parts = {
        name: _read_images(folder, class_names, pattern, skipped)
        for name, folder in folders.items()
    }
    notes = _report_skipped([file.relative_to(root) for file in skipped], strict)
    if pattern:
        notes += _report_groups(parts)

    if shares := splits.missing_shares(parts):
        images = parts["train"]
        labels, groups = zip(*((image.label, image.group) for image in images), strict=True)
        if pattern:
            drawn = splits.by_group(labels, groups, shares, seed)
        else:
            drawn = splits.by_class(labels, shares, seed)
        parts |= {name: [images[i] for i in indices] for name, indices in drawn.items()}
        notes.append(f"held out of the training images with seed {seed}: {', '.join(shares)}")

    order = ("train", "validation", "test")
    parts = {name: _split(name, parts[name], root) for name in order}
    return Source(f"folder:{path}", class_names, parts, tuple(notes))


def _compile(group_regex):
    try:
        return group_regex and re.compile(group_regex)
    except re.error as error:
        raise ValueError(
            "Invalid value for `group_regex`. Expected a regular expression. "
            f"Received: group_regex={group_regex!r} ({error})"
        ) from None


def _listing(folder):
    return sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))


def _split_folders(root):
    """Split name → folder; `{"train": root}` where there are no split folders."""
    folders = {entry.name: entry for entry in _listing(root) if entry.is_dir()}
    named = {name for name in folders if name.lower() in splits.SPLIT_NAMES}
    # A class may happen to be called "test": without a train folder all must be split folders.
    if named != set(folders) and "train" not in {splits.SPLIT_NAMES[n.lower()] for n in named}:
        return {"train": root}
    try:
        return {split: folders[n] for split, n in splits.assign(folders).items()} or {"train": root}
    except ValueError as error:
        raise ValueError(f"Invalid split folders in {root}. {error}") from None


def _class_names(folder):
    names = tuple(entry.name for entry in _listing(folder) if entry.is_dir())
    if len(names) < 2:
        raise ValueError(
            f"Expected one folder a class, at least two, in {folder}. "
            f"Received: {len(names)} ({', '.join(names) or 'no folder'})"
        )
    return names


def _read_images(folder, class_names, pattern, skipped):
    """The images of one split, sorted by path; what is no image is added to `skipped`."""
    images = []
    for class_folder in (entry for entry in _listing(folder) if entry.is_dir()):
        if class_folder.name not in class_names:
            raise ValueError(
                f"Expected only classes of the training images in {folder}. "
                f"Received: {class_folder.name}"
            )
        label = class_names.index(class_folder.name)
        files = _listing(class_folder)
        found = [file for file in files if _is_image(file)]
        if not found:
            raise ValueError(
                f"Expected at least one image in {class_folder}. Received: {len(files)} other files"
            )
        skipped += sorted(set(files) - set(found))
        images += [_Image(file, label, _group(file, pattern)) for file in found]
    if not images:
        raise ValueError(f"Expected one folder a class in {folder}. Received: no folder")
    return images


def _is_image(file):
    """Whether the header says so; the pixels are not read."""
    try:
        with Image.open(file, formats=IMAGE_FORMATS):
            return True
    except (OSError, Image.DecompressionBombError):
        return False


def _group(file, pattern):
    if not pattern:
        return None
    match = pattern.search(file.name)
    key = match and match[1 if pattern.groups else 0]
    if key is None:
        raise ValueError(
            "Invalid value for `group_regex`. Expected a match in every file's name. "
            f"Received: group_regex={pattern.pattern!r}, file {file}"
        )
    return key


def _report_skipped(files, strict):
    if not files:
        return []
    note = f"not an image that can be read: {len(files)} files: {', '.join(map(str, files))}"
    if strict:
        raise ValueError(f"Expected {', '.join(IMAGE_FORMATS)} images alone. Received: {note}")
    logging.warning("Skipped, %s", note)
    return [f"skipped, {note}"]


def _report_groups(parts):
    groups = {name: {image.group for image in images} for name, images in parts.items()}
    notes = []
    for name in sorted(groups.keys() - {"train"}):
        # Given split folders stay as they are, so a leak can only be told.
        if shared := sorted(groups[name] & groups["train"]):
            notes.append(f"groups both in train and in {name}: {', '.join(shared)}")
            logging.warning("Found %s", notes[-1])
    return [f"groups: {len(set().union(*groups.values()))}", *notes]


def _split(name, images, root):
    paths = [str(image.path) for image in images]
    labels = np.array([image.label for image in images], "int64")

    def examples(seed):
        import tensorflow as tf

        indices = tf.range(len(paths), dtype=tf.int64)
        if seed is not None:
            key = tf.stack([tf.cast(seed, tf.int64), 0])
            indices = tf.random.experimental.stateless_shuffle(indices, key)

        def read(index, path, label):
            return {"index": index, "image": tf.io.read_file(path), "label": label}

        dataset = tf.data.Dataset.from_tensor_slices(
            (indices, tf.gather(tf.constant(paths), indices), tf.gather(labels, indices))
        )
        return dataset.map(read, num_parallel_calls=tf.data.AUTOTUNE)

    names = tuple(image.path.relative_to(root).as_posix() for image in images)
    return Split(name, len(images), examples, names)
