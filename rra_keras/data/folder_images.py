"""The images of a folder: which there are, and what of them is known once each was read."""

import collections
import concurrent.futures
import dataclasses
import hashlib
import itertools
import pathlib

import numpy as np

from rra_keras.data import decode, label_file, splits, walk


@dataclasses.dataclass(frozen=True, eq=False)
class Image:
    """An image file of a folder, as it was read once."""

    path: pathlib.Path
    name: str  # relative to the data folder, with slashes
    labels: tuple[int, ...]  # one, but where `labels.csv` says others
    group: str | None
    pillow: bool  # whether Pillow has to read it
    size: int  # bytes
    content: str  # a digest of them
    thumbnail: np.ndarray


def split_folders(root):
    """Split name → folder; `{"train": root}` where there are no split folders."""
    folders = {name: root / name for name in walk.folder_names(root)}
    named = {name for name in folders if name.lower() in splits.SPLIT_NAMES}
    # A class may happen to be called "test": without a train folder all must be split folders.
    if named != set(folders) and "train" not in {splits.SPLIT_NAMES[n.lower()] for n in named}:
        return {"train": root}
    if len(named) == 1 and splits.SPLIT_NAMES[(lone := min(named)).lower()] != "train":
        raise ValueError(
            f"Expected class folders, or a folder train, in {root}. Received: only {lone}, which "
            f"`rra evaluate RUN --dataset=folder:{root}` measures"
        )
    try:
        return {split: folders[n] for split, n in splits.assign(folders).items()} or {"train": root}
    except ValueError as error:
        raise ValueError(f"Invalid split folders in {root}. {error}") from None


def class_names(folder):
    names = walk.folder_names(folder)
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


def read_folders(folders, root, class_names, pattern):
    """The images of each split, and file → why not for those that cannot be read."""
    skipped = {}
    with concurrent.futures.ThreadPoolExecutor() as pool:
        parts = {
            name: read_images(folder, root, class_names, pattern, skipped, pool)
            for name, folder in folders.items()
        }
    return parts, skipped


def read_labeled(folders, root, table, pattern):
    """The images that `labels.csv` names, of each split; what cannot be read; how many others."""
    parts, skipped, unlabeled, there = {}, {}, 0, set()
    with concurrent.futures.ThreadPoolExecutor() as pool:
        for split, folder in folders.items():
            files = {file.relative_to(root).as_posix(): file for file in walk.files(folder, root)}
            files.pop(label_file.NAME, None)
            there |= files.keys()
            named = {name: file for name, file in files.items() if name in table.labels}
            unlabeled += sum(file.suffix != ".csv" for file in files.values()) - len(named)
            parts[split] = []
            examined = pool.map(_examine, named.values(), itertools.repeat(root))
            for (name, file), read in zip(named.items(), examined, strict=True):
                if isinstance(read, str):
                    skipped[file] = read
                else:
                    image = Image(file, name, table.labels[name], _group(file, pattern), **read)
                    parts[split].append(image)
    if missing := [name for name in table.labels if name not in there]:
        shown = ", ".join(map(walk.shown, missing[:3])) + (", …" if len(missing) > 3 else "")
        raise ValueError(
            f"Invalid {root / label_file.NAME}. Expected files of {root}, relative to it. "
            f"Received: {len(missing)} that are not there: {shown}"
        )
    taught = {label for image in parts["train"] for label in image.labels}
    if untaught := [name for i, name in enumerate(table.class_names) if i not in taught]:
        raise ValueError(
            f"Invalid {root / label_file.NAME}. Expected training photos of every label. "
            f"Received: none of {', '.join(map(walk.shown, untaught))}"
        )
    return parts, skipped, unlabeled


def read_images(folder, root, class_names, pattern, skipped, pool, wanted=None):
    """The images of one split, in the order of `walk`; adds file → why not to `skipped`."""
    images = []
    for class_name in wanted or walk.folder_names(folder):
        if class_name not in class_names:
            raise ValueError(
                f"Expected only classes of the training images in {folder}. "
                f"Received: {walk.shown(class_name)}"
            )
        label, others = class_names.index(class_name), {}
        files = list(walk.files(folder / class_name, root))
        found = []
        for file, read in zip(
            files, pool.map(_examine, files, itertools.repeat(root)), strict=True
        ):
            if isinstance(read, str):
                others[file] = read
            else:
                name = file.relative_to(root).as_posix()
                found.append(Image(file, name, (label,), _group(file, pattern), **read))
        if not found:
            endings = collections.Counter(file.suffix.lower() or "no ending" for file in others)
            counts = ", ".join(f"{count} {ending}" for ending, count in endings.most_common(3))
            reason = f" ({counts}; the first is {next(iter(others.values()))})" if others else ""
            raise ValueError(
                f"Expected at least one image in {folder / class_name}, of "
                f"{', '.join(decode.FORMATS)}. Received: {len(others)} other files{reason}"
            )
        images += found
        skipped |= others
    if not images:
        raise ValueError(f"Expected one folder a class in {folder}. Received: no folder")
    return images


def _examine(file, root):
    """Read a file once: what an `Image` knows of it, or why it is none."""
    try:
        if not walk.is_writable(str(file.relative_to(root))):
            raise ValueError("its path has control characters or bytes that are no text")
        pillow = decode.needs_pillow(file)
        content = file.read_bytes()
        return {
            "pillow": pillow,
            "size": len(content),
            "content": hashlib.blake2b(content, digest_size=16).hexdigest(),
            "thumbnail": decode.thumbnail(content, pillow),
        }
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
