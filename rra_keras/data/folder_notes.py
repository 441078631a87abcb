"""What is worth telling of a folder of images, a line each."""

import numpy as np
from absl import logging

from rra_keras.data import decode, walk


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


def unread(skipped, root, strict):
    if not skipped:
        return []
    files = (f"{walk.shown(file.relative_to(root))} ({why})" for file, why in skipped.items())
    note = f"no image that can be read: {len(skipped)} files: {', '.join(files)}"
    if strict:
        raise ValueError(f"Expected {', '.join(decode.FORMATS)} images alone. Received: {note}")
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
        if apart or (pair.exact and one.label != other.label):
            rows.append(
                {
                    "file": one.name,
                    "split": split_of[one],
                    "label": class_names[one.label],
                    "other": other.name,
                    "other_split": split_of[other],
                    "other_label": class_names[other.label],
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


def balance(images, class_names):
    counts = np.bincount([image.label for image in images], minlength=len(class_names))
    least, most = counts.argmin(), counts.argmax()
    if counts[least] == counts[most]:
        return f"training images a class: {counts[least]}"
    return (
        f"training images a class: {counts[least]} ({class_names[least]}) "
        f"to {counts[most]} ({class_names[most]})"
    )
