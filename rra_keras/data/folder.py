"""Own images: one folder a class, with or without split folders."""

import collections
import concurrent.futures
import dataclasses
import hashlib
import os
import pathlib
import re

import numpy as np
from absl import logging

from rra_keras.data import cache, decode, splits, walk
from rra_keras.data.sources import Source, Split


@dataclasses.dataclass(frozen=True)
class _Image:
    path: pathlib.Path
    label: int
    group: str | None
    pillow: bool  # whether Pillow has to read it
    size: int  # bytes


def load(path, group_regex=None, seed=0, strict=False, exclude=()) -> Source:
    """Read a folder of images into train, validation and test.

    1. Split folders are `train`/`training`, `val`/`valid`/`validation`, `test`/`testing`, in any
       case. With all three, each is what it says. With train and one other, the other is the
       test split and 15 % of train are held out for validation. With one or none, 20 % are held
       out for test and 15 % for validation.
    2. Classes are the folders of the training images, sorted by name. What lies deeper belongs to
       the class too.
    3. Hold-outs are drawn from `seed`, class by class, or group by group with `group_regex`.
    4. What is excluded is left out after that, so that all other images stay in their splits.
    5. Every JPEG is decoded once, so that a damaged one is found now and not in mid-training.
    6. Files that take little of the memory (`cache.SHARE`) stay there once they are read.

    Args:
        path: the folder.
        group_regex: searched in each file's name (without its folder); its first group, or the
            whole match where it has none, is a key, and images of one key stay in one split.
        seed: sets which images are held out.
        strict: whether a file that is no image is an error; otherwise it is named and skipped.
        exclude: names of files, relative to `path`, to leave out of every split.

    Returns:
        A `Source` whose splits have `names`, relative to `path`. Its notes say what was skipped,
        held out and excluded, which files appear in more than one split, and how many images the
        classes have.

    Raises:
        ValueError: naming what was expected and what was found; also for links that leave the
            folder.

    Example:
        source = folder.load(photos, group_regex="^(g[0-9])_", strict=True)
        assert source.class_names == ("blue", "green", "red")
    """
    root = pathlib.Path(path).expanduser()
    if not path or not root.is_dir():
        raise ValueError(f"Expected `folder:PATH` with a folder that exists. Received: {path!r}")
    pattern = _compile(group_regex)
    folders = _split_folders(root)
    class_names = _class_names(folders["train"])

    skipped = {}
    with concurrent.futures.ThreadPoolExecutor() as pool:
        parts = {
            name: _read_images(folder, root, class_names, pattern, skipped, pool)
            for name, folder in folders.items()
        }
    exclude = _known(exclude, parts, skipped, root)
    skipped = {file: why for file, why in skipped.items() if file not in exclude}
    notes = _report_skipped(skipped, root, strict)
    if pattern:
        notes += _report_groups(_without(parts, exclude))

    if shares := splits.missing_shares(parts):
        images = parts["train"]
        labels, groups = zip(*((image.label, image.group) for image in images), strict=True)
        if pattern:
            drawn = splits.by_group(labels, groups, shares, seed)
        else:
            drawn = splits.by_class(labels, shares, seed)
        parts |= {name: [images[i] for i in indices] for name, indices in drawn.items()}
        notes.append(f"held out of the training images with seed {seed}: {', '.join(shares)}")

    whole = {name: parts[name] for name in ("train", "validation", "test")}
    parts = _without(whole, exclude)
    if exclude:
        notes.append(_report_excluded(whole, parts, class_names))
    notes += _report_duplicates(parts, root)
    notes.append(_report_balance(parts["train"], class_names))
    fits = cache.fits(sum(image.size for images in parts.values() for image in images))
    parts = {name: _split(name, images, root, fits) for name, images in parts.items()}
    return Source(f"folder:{path}", class_names, parts, tuple(notes))


def _compile(group_regex):
    try:
        return group_regex and re.compile(group_regex)
    except re.error as error:
        raise ValueError(
            "Invalid value for `group_regex`. Expected a regular expression. "
            f"Received: group_regex={group_regex!r} ({error})"
        ) from None


def _split_folders(root):
    """Split name → folder; `{"train": root}` where there are no split folders."""
    folders = {name: root / name for name in _folder_names(root)}
    named = {name for name in folders if name.lower() in splits.SPLIT_NAMES}
    # A class may happen to be called "test": without a train folder all must be split folders.
    if named != set(folders) and "train" not in {splits.SPLIT_NAMES[n.lower()] for n in named}:
        return {"train": root}
    try:
        return {split: folders[n] for split, n in splits.assign(folders).items()} or {"train": root}
    except ValueError as error:
        raise ValueError(f"Invalid split folders in {root}. {error}") from None


def _folder_names(folder):
    return tuple(entry.name for entry in walk.listing(folder) if entry.is_dir())


def _class_names(folder):
    names = _folder_names(folder)
    if len(names) < 2:
        raise ValueError(
            f"Expected one folder a class, at least two, in {folder}. "
            f"Received: {len(names)} ({', '.join(map(walk.shown, names)) or 'no folder'})"
        )
    for name in names:
        if not walk.is_writable(name):
            raise ValueError(
                "Expected class folders named by one line of text, without control characters, "
                f"in {folder}. Received: {walk.shown(name)}"
            )
    return names


def _read_images(folder, root, class_names, pattern, skipped, pool):
    """The images of one split, in the order of `walk`; adds file → why not to `skipped`."""
    images = []
    for class_name in _folder_names(folder):
        if class_name not in class_names:
            raise ValueError(
                f"Expected only classes of the training images in {folder}. "
                f"Received: {walk.shown(class_name)}"
            )
        label, found, others = class_names.index(class_name), [], {}
        for file in walk.files(folder / class_name, root):
            try:
                if not walk.is_writable(str(file.relative_to(root))):
                    raise ValueError("its path has control characters or bytes that are no text")
                pillow, size = decode.needs_pillow(file), file.stat().st_size
            except (ValueError, OSError) as error:
                others[file] = _reason(error)
            else:
                found.append(_Image(file, label, _group(file, pattern), pillow, size))
        damages = dict(zip(found, pool.map(_damage, found), strict=True))
        others |= {image.path: damage for image, damage in damages.items() if damage}
        found = [image for image in found if not damages[image]]
        if not found:
            raise ValueError(
                f"Expected at least one image in {folder / class_name}. "
                f"Received: {len(others)} other files"
            )
        images += found
        skipped |= others
    if not images:
        raise ValueError(f"Expected one folder a class in {folder}. Received: no folder")
    return images


def _damage(image):
    try:
        decode.check_jpeg(image.path, image.pillow)
    except (ValueError, OSError) as error:
        return _reason(error)


def _reason(error):
    return getattr(error, "strerror", None) or str(error)


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


def _known(exclude, parts, skipped, root):
    """The paths to exclude, all of which are there."""
    files = {image.path for images in parts.values() for image in images} | skipped.keys()
    names = {file.relative_to(root).as_posix(): file for file in files}
    if others := [name for name in exclude if name not in names]:
        shown = ", ".join(map(walk.shown, others[:3])) + (", …" if len(others) > 3 else "")
        raise ValueError(
            f"Invalid value for `exclude`. Expected files of {root}, relative to it, such as "
            f"{walk.shown(min(names))}. Received: {len(others)} others: {shown}"
        )
    return {names[name] for name in exclude}


def _without(parts, exclude):
    return {
        name: [image for image in images if image.path not in exclude]
        for name, images in parts.items()
    }


def _report_excluded(whole, parts, class_names):
    counts = {name: len(whole[name]) - len(images) for name, images in parts.items()}
    left = {image.label for image in parts["train"]}
    if gone := [name for label, name in enumerate(class_names) if label not in left]:
        raise ValueError(
            "Invalid value for `exclude`. Expected to keep training images of every class. "
            f"Received: none left of {', '.join(gone)}"
        )
    if empty := [name for name, images in parts.items() if not images]:
        raise ValueError(
            "Invalid value for `exclude`. Expected to keep images of every split. "
            f"Received: none left of {' and '.join(empty)}"
        )
    return f"excluded: {', '.join(f'{count} {name}' for name, count in counts.items())}"


def _report_skipped(skipped, root, strict):
    if not skipped:
        return []
    files = (f"{walk.shown(file.relative_to(root))} ({why})" for file, why in skipped.items())
    note = f"no image that can be read: {len(skipped)} files: {', '.join(files)}"
    if strict:
        raise ValueError(f"Expected {', '.join(decode.FORMATS)} images alone. Received: {note}")
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


def _report_duplicates(parts, root):
    """Find files that appear in more than one split; only those of the same size are read."""
    by_size = collections.defaultdict(list)
    for split, images in parts.items():
        for image in images:
            by_size[image.size].append((split, image.path))
    firsts, found = {}, []
    for candidates in by_size.values():
        if len({split for split, _ in candidates}) == 1:
            continue
        for split, path in candidates:
            with path.open("rb") as file:
                content = hashlib.file_digest(file, "sha256").digest()
            first_split, first = firsts.setdefault(content, (split, path))
            if split != first_split:
                found.append((path.relative_to(root), split, first.relative_to(root), first_split))
    if not found:
        return []
    path, split, first, first_split = found[0]
    note = (
        f"files that appear in more than one split: {len(found)}, e.g. {path} ({split}) and "
        f"{first} ({first_split})"
    )
    logging.warning("Found %s", note)
    return [note]


def _report_balance(images, class_names):
    counts = np.bincount([image.label for image in images], minlength=len(class_names))
    least, most = counts.argmin(), counts.argmax()
    if counts[least] == counts[most]:
        return f"training images a class: {counts[least]}"
    return (
        f"training images a class: {counts[least]} ({class_names[least]}) "
        f"to {counts[most]} ({class_names[most]})"
    )


def _split(name, images, root, stays):
    """A `Split`; `stays`: whether files stay in memory once they are read."""
    import tensorflow as tf

    read_file = cache.remembering_read_file() if stays else lambda _, path: tf.io.read_file(path)
    paths = [os.fsencode(image.path) for image in images]
    labels = np.array([image.label for image in images], "int64")
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

    names = tuple(image.path.relative_to(root).as_posix() for image in images)
    return Split(name, len(images), entries, read, names, lambda: labels)
