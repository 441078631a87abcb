"""What is worth telling of a folder of images, a line each."""

import numpy as np
from absl import logging

from rra_keras.data import decode, walk
from rra_keras.measures.labels import SEPARATOR


def left_out(root, folders):
    notes = []
    if found := walk.left_out(root):
        hidden = found.pop(walk.HIDDEN, 0)
        parts = [f"{count} in {walk.shown(name)}" for name, count in found.items()]
        parts += [f"{hidden} {walk.HIDDEN}"] if hidden else []
        notes.append(f"left out, files that systems keep for themselves: {', '.join(parts)}")
    if root not in folders.values() and folders:
        used = {folder.name for folder in folders.values()}
        if others := [name for name in walk.folder_names(root) if name not in used]:
            notes.append(
                f"passed over, as they are no split folders (train, val, test): "
                f"{', '.join(map(walk.shown, others))}"
            )
            logging.warning("Folders %s", notes[-1])
    return notes


def excluded(whole, parts, class_names):
    counts = {name: len(whole[name]) - len(images) for name, images in parts.items()}
    left = {label for image in parts["train"] for label in image.labels}
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


def unread(skipped, root, strict):
    if not skipped:
        return []
    files = (f"{walk.shown(file.relative_to(root))} ({why})" for file, why in skipped.items())
    note = f"no image that can be read: {len(skipped)} files: {', '.join(files)}"
    if strict:
        raise ValueError(f"Expected {', '.join(decode.FORMATS)} images only. Received: {note}")
    logging.warning("Skipped, %s", note)
    return [f"skipped, {note}"]


def groups(parts):
    groups = {name: {image.group for image in images} for name, images in parts.items()}
    notes = []
    for name in sorted(groups.keys() - {"train"}):
        # Given split folders stay as they are, so a leak can only be told.
        if shared := sorted(groups[name] & groups["train"]):
            notes.append(f"groups both in train and in {name}: {', '.join(shared)}")
            logging.warning("Found %s", notes[-1])
    return [f"groups: {len(set().union(*groups.values()))}", *notes]


def copies(parts, images, found, class_names):
    """Rows of what is in two splits or in two classes, and notes of it."""
    split_of = {image: name for name, part in parts.items() for image in part}
    rows, notes = [], []
    for pair in found:
        one, other = images[pair.first], images[pair.second]
        if one not in split_of or other not in split_of:
            continue  # excluded
        apart = split_of[one] != split_of[other]
        if apart or (pair.exact and one.labels != other.labels):
            rows.append(
                {
                    "file": one.name,
                    "split": split_of[one],
                    "label": label_names(one.labels, class_names),
                    "other": other.name,
                    "other_split": split_of[other],
                    "other_label": label_names(other.labels, class_names),
                    "exact": pair.exact,
                }
            )
    if apart := [row for row in rows if row["split"] != row["other_split"]]:
        exact = sum(row["exact"] for row in apart)
        notes.append(
            f"the same photo in two splits: {len(apart)} ({exact} the same file, "
            f"{len(apart) - exact} nearly the same), e.g. {_shown_pair(apart[0], 'split')}; "
            "--keep_together puts them into one"
        )
    if torn := [row for row in rows if row["exact"] and row["label"] != row["other_label"]]:
        notes.append(
            f"the same file in two classes: {len(torn)}, one of whose labels is wrong, e.g. "
            f"{_shown_pair(torn[0], 'label')}"
        )
    for note in notes:
        logging.warning("Found %s", note)
    return rows, notes


def _shown_pair(row, key):
    return f"{row['file']} ({row[key]}) and {row['other']} ({row[f'other_{key}']})"


def label_names(labels, class_names):
    """Return the names of a photo's labels, joined."""
    return SEPARATOR.join(class_names[label] for label in labels)


def balance(parts, class_names, several=False):
    """How many images the classes have; of several labels, each one's in each split."""
    if several:
        counts = {name: _counts(images, class_names) for name, images in parts.items()}
        notes = [f"labels, photos of each in {', '.join(parts)}:"]
        for label, name in enumerate(class_names):
            each = ", ".join(str(counts[split][label]) for split in parts)
            notes.append(f"  {walk.shown(name)}: {each}")
        none = ", ".join(str(sum(not i.labels for i in images)) for images in parts.values())
        everywhere = [
            name
            for label, name in enumerate(class_names)
            if counts["train"][label] == len(parts["train"])
        ]
        notes += [f"  no label: {none}"] if none.strip("0, ") else []
        if everywhere:
            notes.append(f"labels that every training photo has: {', '.join(everywhere)}")
        if once := [name for i, name in enumerate(class_names) if counts["train"][i] == 1]:
            notes.append(f"labels of a single training photo: {', '.join(once)}")
        return notes
    counts = _counts(parts["train"], class_names)
    least, most = counts.argmin(), counts.argmax()
    if counts[least] == counts[most]:
        return [f"training images a class: {counts[least]}"]
    return [
        f"training images a class: {counts[least]} ({class_names[least]}) "
        f"to {counts[most]} ({class_names[most]})"
    ]


def _counts(images, class_names):
    labels = [label for image in images for label in image.labels]
    return np.bincount(labels, minlength=len(class_names))
