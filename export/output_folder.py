"""A command's output folder: written whole beside its place, then moved there."""

import contextlib
import os
import pathlib
import tempfile


def check_available(out, kind, marks, overwrite):
    """Raise a `ValueError` unless `out` may be written; changes nothing.

    Args:
        out: a `pathlib.Path`; a new or empty folder is always available.
        kind: what the command writes, as in `"an export"`.
        marks: names that an older one holds, and a folder of other files does not.
        overwrite: whether an older one may be replaced.
    """
    expected = "Invalid value for `--out`. Expected a new or empty folder"
    if out.exists() and not out.is_dir():
        raise ValueError(f"{expected}. Received: {out}, a file")
    if not out.is_dir() or not any(out.iterdir()):
        return
    if not all((out / name).exists() for name in marks):
        raise ValueError(f"{expected}, or {kind}. Received: {out}, which holds other files")
    if not overwrite:
        raise ValueError(
            f"{expected}. Received: {out}, which holds {kind}; pass --overwrite to replace it"
        )


@contextlib.contextmanager
def scratch_beside(out):
    """Give a folder beside `out` that is deleted at the end, and with it what was not moved."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".partial-", dir=out.parent) as scratch:
        yield pathlib.Path(scratch)


def replace_folder(new, out):
    """Move the folder `new` to `out`; an older `out` goes beside `new`, to be deleted with it."""
    if out.exists():
        os.rename(out, new.with_name("old"))
    os.rename(new, out)


def exported_files(folder):
    """Return the model files in a folder that `rra export` wrote, in order.

    Raises:
        ValueError: if there is none.
    """
    files = sorted(pathlib.Path(folder).glob("model_*.tflite"))
    if not files:
        raise ValueError(
            "Invalid value for `--export`. Expected a folder that `rra export` wrote. "
            f"Received: {folder}"
        )
    return files
