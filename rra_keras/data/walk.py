"""What lies in a folder: names in order, links that stay inside, names that can be written down."""

import collections
import os
import pathlib
import unicodedata

# What systems, network drives and photo programs keep beside people's photos: thumbnails of them,
# deleted ones, copies of before. In any case; hidden names are left out as well.
SYSTEM_NAMES = frozenset(
    (
        *("@eadir", "@tmp", "@recycle", "@recently-snapshot", "@sharebin", "@sharesnap"),  # NAS
        *("#recycle", "#snapshot", "~snapshot", "network trash folder", "temporary items"),
        *("$recycle.bin", "recycler", "recycled", "system volume information"),  # Windows
        *("thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini"),
        *("__macosx", "icon\r", "lost+found", "__pycache__"),
        *("picasa.ini", "_gsdata_"),
    )
)
HIDDEN = "hidden files"
SYSTEM_ENDINGS = (".lrdata", ".photoslibrary", ".aplibrary")  # catalogs full of thumbnails

# Control characters, line and paragraph separators, and bytes that are no text: they would break
# the lines of `labels.txt` and tables, or tell a terminal what to do.
_UNWRITABLE = ("Cc", "Cs", "Zl", "Zp")


def is_system(name):
    """Return whether a file or folder is hidden, or is kept by a system for itself.

    Example:
        assert walk.is_system("@eaDir") and not walk.is_system("@home")
    """
    name = name.lower()
    return name.startswith(".") or name in SYSTEM_NAMES or name.endswith(SYSTEM_ENDINGS)


def listing(folder):
    """Return the `os.DirEntry`s of a folder, by name, but for those of systems."""
    with os.scandir(folder) as entries:
        shown = (entry for entry in entries if not is_system(entry.name))
        return sorted(shown, key=lambda entry: entry.name)


def folder_names(folder):
    """Return the names of the folders in a folder, in order, but for those of systems."""
    return tuple(entry.name for entry in listing(folder) if entry.is_dir())


def left_out(folder):
    """Count the files that `files` leaves out, by the names of the folders that hold them.

    Args:
        folder: a folder, which is searched however deep; links are not followed.

    Returns:
        A `collections.Counter`; files that are hidden by themselves count as `HIDDEN`.
    """
    found = collections.Counter()
    for place, folders, names in os.walk(folder):
        for name in [name for name in folders if is_system(name)]:
            folders.remove(name)
            inside = os.walk(os.path.join(place, name))
            found[name] += sum(len(others) for _, _, others in inside)
        found[HIDDEN] += sum(map(is_system, names))
    return +found


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
