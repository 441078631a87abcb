"""What lies in a folder: names in order, links that stay inside, names that can be written down."""

import os
import pathlib
import unicodedata

# Control characters, line and paragraph separators, and bytes that are no text: they would break
# the lines of `labels.txt` and tables, or tell a terminal what to do.
_UNWRITABLE = ("Cc", "Cs", "Zl", "Zp")


def listing(folder):
    """Return the `os.DirEntry`s of a folder, by name, but for hidden ones."""
    with os.scandir(folder) as entries:
        shown = (entry for entry in entries if not entry.name.startswith("."))
        return sorted(shown, key=lambda entry: entry.name)


def files(folder, root):
    """Yield the paths of all files below `folder`, however deep, folder by folder and by name.

    Args:
        folder: a folder in `root`.
        root: the data folder.

    Raises:
        ValueError: for a link that leaves `root`, or leads to a folder that it lies in.
    """
    check_link(folder, root)
    for entry in listing(folder):
        path = pathlib.Path(entry)
        if entry.is_symlink():
            check_link(path, root)
        if entry.is_dir():
            yield from files(path, root)
        else:
            yield path


def check_link(path, root):
    """Raise `ValueError` if `path` leads out of `root`, or around in a circle."""
    target = os.path.realpath(path)
    if not pathlib.Path(target).is_relative_to(os.path.realpath(root)):
        raise ValueError(
            f"Expected links that stay inside of {root}. Received: {shown(path)} → {shown(target)}"
        )
    if target in map(os.path.realpath, path.parents):
        raise ValueError(
            "Expected links that do not lead in a circle. "
            f"Received: {shown(path)} → {shown(target)}"
        )


def is_writable(name):
    """Return whether `name` is text of one line without control characters."""
    return not any(unicodedata.category(character) in _UNWRITABLE for character in name)


def shown(name):
    """Return `name` as a message may hold it: as it is, or escaped."""
    return str(name) if is_writable(str(name)) else ascii(str(name))
