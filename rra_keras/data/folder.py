"""Own images: one folder a class, with or without split folders."""

import collections
import concurrent.futures
import os
import pathlib
import re

import numpy as np

from rra_keras.data import (
    cache,
    copies,
    decode,
    folder_images,
    folder_notes,
    label_file,
    splits,
    walk,
)
from rra_keras.data.known import EXCLUDED
from rra_keras.data.sources import Source, Split


def load(
    path,
    group_regex=None,
    seed=0,
    strict=False,
    exclude=(),
    known=None,
    keep_together=False,
) -> Source:
    """Read a folder of images into train, validation and test.

    1. Split folders are `train`/`training`, `val`/`valid`/`validation`, `test`/`testing`, in any
       case. With all three, each is what it says. With train and one other, the other is the
       test split and 15 % of train are held out for validation. With one or none, 20 % are held
       out for test and 15 % for validation.
    2. Classes are the folders of the training images, sorted by name. What lies deeper belongs to
       the class too. Folders that systems keep for themselves are left out (`walk.is_system`).
       With a `labels.csv` in the folder, classes are what that says, and a photo may be of several
       (`label_file`); photos that it does not name are left out.
    3. Every file is read and decoded once, small, so that a damaged one is found now and not in
       mid-training, and the same photo is found where it is there twice.
    4. A hash of each photo's name and `seed` decides whether it is held out, or of its group with
       `group_regex`: photos that are added, removed or excluded move no other one.
    5. What a run knows stays where it was then, whatever its name or folder is now.
    6. Files that take little of the memory (`cache.SHARE`) stay there once they are read.

    Args:
        path: the folder.
        group_regex: searched in each file's name (without its folder); its first group, or the
            whole match where it has none, is a key, and images of one key stay in one split.
        seed: sets which images are held out.
        strict: whether a file that is no image is an error; otherwise it is named and skipped.
        exclude: names of files, relative to `path`, to leave out of every split.
        known: a `Known`, of a run that the images were split for before.
        keep_together: whether all that show nearly the same go into one split: train, where the
            split folders say otherwise.

    Returns:
        A `Source` whose splits have `names`, relative to `path`. Its notes say what was left out,
        skipped, held out and excluded, which photos appear more than once, what changed since a
        run knew them, and how many images the classes have.

    Raises:
        ValueError: naming what was expected and what was found; also for links that leave the
            folder.

    Example:
        source = folder.load(photos, group_regex="^(g[0-9])_", strict=True)
        assert source.class_names == ("blue", "green", "red")
    """
    root = _root(path)
    pattern = _compile(group_regex)
    folders = folder_images.split_folders(root)
    table = label_file.find(root)
    if table:
        class_names = table.class_names
        parts, skipped, unlabeled = folder_images.read_labeled(folders, root, table, pattern)
    else:
        class_names, unlabeled = folder_images.class_names(folders["train"]), 0
        parts, skipped = folder_images.read_folders(folders, root, class_names, pattern)

    images = [image for part in parts.values() for image in part]
    changes = known and known.splits_of([i.name for i in images], [i.content for i in images])
    before = dict(zip(images, changes.splits, strict=True)) if known else {}
    exclude = _known_names(exclude, images, skipped, root, strict=known is None)
    exclude |= {image.path for image, split in before.items() if split == EXCLUDED}
    skipped = {file: why for file, why in skipped.items() if file not in exclude}
    notes = folder_notes.unread(skipped, root, strict) + folder_notes.left_out(root, folders)
    if unlabeled:
        notes.append(f"left out, without a row in {label_file.NAME}: {unlabeled} files")
    if pattern:
        notes += folder_notes.groups(_without(parts, exclude))

    found = copies.pairs([i.content for i in images], [i.thumbnail for i in images])
    keys = {image: image.group or image.name for image in images}
    if keep_together:
        keys = _joined(images, keys, found)
        parts = _together(parts, keys)
    if shares := splits.missing_shares(parts):
        held = parts["train"]
        # Of a group that is in several splits, what was trained on decides.
        known_images = [image for image in held if before.get(image) in ("train", *shares)]
        known_images.sort(key=lambda image: before[image] == "train")
        drawn = splits.by_key(
            [image.labels for image in held],
            [keys[image] for image in held],
            shares,
            seed,
            {keys[image]: before[image] for image in known_images},
        )
        parts |= {name: [held[i] for i in indices] for name, indices in drawn.items()}
        notes.append(f"held out of the training images with seed {seed}: {', '.join(shares)}")
    parts = _where_they_were(parts, before)
    changed = tuple(filter(None, [changes and changes.note()]))
    notes += changed

    whole = {name: parts[name] for name in ("train", "validation", "test")}
    parts = _without(whole, exclude)
    if exclude:
        notes.append(folder_notes.excluded(whole, parts, class_names))
    rows, told = folder_notes.copies(parts, images, found, class_names)
    notes += told
    notes += folder_notes.balance(parts, class_names, several=bool(table))
    fits = cache.fits(sum(image.size for images in parts.values() for image in images))
    return Source(
        f"folder:{path}",
        class_names,
        {
            name: _split(name, images, fits, len(class_names) if table else None)
            for name, images in parts.items()
        },
        tuple(notes),
        copies=tuple(rows),
        excluded=tuple((image.name, image.content) for image in images if image.path in exclude),
        changes=changed,
    )


def load_all(path, class_names, known=None) -> Source:
    """Read a folder that has no train split, to measure a model that knows its classes.

    All photos are the test split, but for those that a run knows: they stay where they were then.

    Args:
        path: the folder: one folder a class, or a lone split folder of them.
        class_names: those of the model; other folders are left out and named.
        known: a `Known`.

    Returns:
        A `Source` with the split `"test"`, and those of which the run knows photos that are here.

    Raises:
        ValueError: if there is no photo of these classes.

    Example:
        source = folder.load_all(photos, ["blue", "red"])
        assert list(source.splits) == ["test"]
    """
    root = _root(path)
    lone = [n for n in walk.folder_names(root) if n.lower() in splits.SPLIT_NAMES]
    top = root / lone[0] if len(lone) == 1 and lone[0] not in class_names else root
    there = walk.folder_names(top)
    others = [name for name in there if name not in class_names]
    mine = [name for name in class_names if name in there]
    if not mine:
        raise ValueError(
            f"Expected folders named as the run's classes ({', '.join(class_names[:3])}, …) in "
            f"{top}. Received: {', '.join(map(walk.shown, others)) or 'no folder'}"
        )
    changes = []
    if others:
        changes.append(f"left out, no class of the run: {', '.join(map(walk.shown, others))}")
    skipped = {}
    with concurrent.futures.ThreadPoolExecutor() as pool:
        images = folder_images.read_images(top, root, tuple(class_names), None, skipped, pool, mine)
    notes = folder_notes.left_out(root, {}) + folder_notes.unread(skipped, root, strict=False)
    parts = collections.defaultdict(list)
    before = (
        known.splits_of([i.name for i in images], [i.content for i in images]).splits
        if known
        else [None] * len(images)
    )
    for image, split in zip(images, before, strict=True):
        parts["test" if split in (None, EXCLUDED) else split].append(image)
    if held := [f"{len(part)} {name}" for name, part in parts.items() if name != "test"]:
        changes.append(f"photos of the run's other splits, which stay there: {', '.join(held)}")
    fits = cache.fits(sum(image.size for image in images))
    ready = {name: _split(name, part, fits) for name, part in parts.items()}
    notes += changes
    return Source(f"folder:{path}", tuple(class_names), ready, tuple(notes), changes=tuple(changes))


def has_train(path):
    """Return whether a folder has split folders, one of them train.

    Example:
        assert not folder.has_train(photos)
    """
    return any(splits.SPLIT_NAMES.get(n.lower()) == "train" for n in walk.folder_names(_root(path)))


def _root(path):
    root = pathlib.Path(path).expanduser()
    if not path or not root.is_dir():
        raise ValueError(f"Expected `folder:PATH` with a folder that exists. Received: {path!r}")
    return root


def _compile(group_regex):
    try:
        return group_regex and re.compile(group_regex)
    except re.error as error:
        raise ValueError(
            "Invalid value for `group_regex`. Expected a regular expression. "
            f"Received: group_regex={group_regex!r} ({error})"
        ) from None


def _known_names(exclude, images, skipped, root, strict):
    """The paths to exclude; if `strict`, all of them have to be there."""
    names = {image.name: image.path for image in images}
    names |= {file.relative_to(root).as_posix(): file for file in skipped}
    others = [name for name in exclude if name not in names]
    if others and strict:
        shown = ", ".join(map(walk.shown, others[:3])) + (", …" if len(others) > 3 else "")
        raise ValueError(
            f"Invalid value for `exclude`. Expected files of {root}, relative to it, such as "
            f"{walk.shown(min(names))}. Received: {len(others)} others: {shown}"
        )
    return {names[name] for name in exclude if name in names}


def _joined(images, keys, found):
    """Give all copies of a photo, and all of their groups, the least of their keys."""
    groups = {}  # key → place of the first image that has it
    links = list(found)
    for place, image in enumerate(images):
        first = groups.setdefault(keys[image], place)
        if first != place:
            links.append(copies.Copy(first, place, exact=False))
    family = copies.families(len(images), links)
    least = {}
    for image, number in zip(images, family, strict=True):
        least[number] = min(least.get(number, keys[image]), keys[image])
    return {image: least[number] for image, number in zip(images, family, strict=True)}


def _together(parts, keys):
    """Move to train what shares a key with a training image."""
    train = {keys[image] for image in parts["train"]}
    moved = [i for name in parts if name != "train" for i in parts[name] if keys[i] in train]
    kept = {n: [i for i in part if i not in set(moved)] for n, part in parts.items()}
    return kept | {"train": parts["train"] + moved}


def _where_they_were(parts, before):
    """Put each image into the split that it is known to be of."""
    placed = {name: [] for name in parts}
    for name, images in parts.items():
        for image in images:
            placed[before[image] if before.get(image) in parts else name].append(image)
    return placed


def _without(parts, exclude):
    return {
        name: [image for image in images if image.path not in exclude]
        for name, images in parts.items()
    }


def _split(name, images, stays, count=None):
    """A `Split`; `stays`: whether files stay in memory once read; `count`: classes, if several."""
    import tensorflow as tf

    read_file = cache.remembering_read_file() if stays else lambda _, path: tf.io.read_file(path)
    paths = [os.fsencode(image.path) for image in images]
    if count is None:
        labels = np.array([image.labels[0] for image in images], "int64")
    else:
        labels = np.zeros((len(images), count), "int64")
        for row, image in zip(labels, images, strict=True):
            row[list(image.labels)] = 1
    pillow = np.array([image.pillow for image in images])

    def entries(seed):
        indices = tf.range(len(paths), dtype=tf.int64)
        if seed is not None:
            key = tf.stack([tf.cast(seed, tf.int64), 0])
            indices = tf.random.experimental.stateless_shuffle(indices, key)
        columns = {"path": tf.constant(paths), "label": labels, "pillow": pillow}
        columns = {name: tf.gather(column, indices) for name, column in columns.items()}
        return tf.data.Dataset.from_tensor_slices({"index": indices, "file": indices, **columns})

    def read(entry):
        content = read_file(entry["file"], entry["path"])
        image = decode.upright(content, entry["path"], entry["pillow"])
        return {"index": entry["index"], "image": image, "label": entry["label"]}

    names = tuple(image.name for image in images)
    contents = tuple(image.content for image in images)
    return Split(name, len(images), entries, read, names, lambda: labels, contents)
