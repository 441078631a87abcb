"""Data sets by name or by folder, and the pipeline that feeds them to training."""

import os

from rra_keras.data.published import OWN, SPLITS
from rra_keras.data.sources import Source, Split

__all__ = ["Source", "Split", "full_name", "load"]


def full_name(name):
    """Return `"folder:NAME"` for a folder that is called only by its name, others as they are.

    A set of ours or of those that are described here goes before a folder of its name.

    Example:
        assert data.full_name("synthetic_birds") == "synthetic_birds"
        assert data.full_name(str(photos)) == f"folder:{photos}"

    Args:
        name: what `load` takes, or a folder.
    """
    if ":" in os.path.splitdrive(name)[1] or name.split("/")[0] in (*OWN, *SPLITS):
        return name
    return f"folder:{name}" if os.path.isdir(os.path.expanduser(name)) else name


def load(
    name,
    data_dir=None,
    group_regex=None,
    seed=0,
    strict=False,
    exclude=(),
    known=None,
    keep_together=False,
) -> Source:
    """Find a data set by name and split it into train, validation and test.

    Args:
        name: `"folder:PATH"` for own images (one folder a class), or the path of a folder that
            exists, `"synthetic_birds"`, `"fgvc_aircraft"`, or any image classification set of
            TensorFlow Datasets, e.g. `"stanford_dogs"`.
        data_dir: where TensorFlow Datasets keeps its sets; `None` for its default.
        group_regex: for folders: images whose file names give the same key stay in one split.
        seed: sets which images are held out.
        strict: for folders: a file that is no image is an error instead of being skipped.
        exclude: for folders: names of files, relative to PATH, to leave out of every split.
        known: for folders: a `Known`, so that what a run knows stays in its split.
        keep_together: for folders: images that show nearly the same stay in one split.

    Returns:
        A `Source` with the splits `"train"`, `"validation"` and `"test"`.

    Raises:
        ValueError: for an unknown name, and for a folder that cannot be used as it is.

    Example:
        source = data.load(f"folder:{photos}", seed=1)
        print(source.summary(), source.splits["test"].names)
    """
    kind, colon, path = full_name(name).partition(":")
    if colon and kind == "folder":
        from rra_keras.data import folder

        return folder.load(path, group_regex, seed, strict, exclude, known, keep_together)

    given = {
        "group_regex": group_regex,
        "exclude": f"{len(exclude)} files" if exclude else None,
        "keep_together": keep_together or None,
    }
    for argument, value in given.items():
        if value is not None:
            raise ValueError(
                f"Invalid value for `{argument}`. Expected None unless the data are `folder:PATH`, "
                f"as only files have names. Received: {argument}={value!r}, name={name!r}"
            )
    from rra_keras.data import named

    return named.load(name, data_dir=data_dir, seed=seed)
