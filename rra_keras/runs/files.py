"""Files that are replaced whole, and tables of comma-separated values."""

import contextlib
import csv
import io
import os
import pathlib


@contextlib.contextmanager
def replacing(target):
    """Yield a path to write to, which takes the place of the file `target` once written.

    Args:
        target: a path; its folder is made if missing.
    """
    target = pathlib.Path(target)
    partial = target.with_name(f".partial-{target.name}")
    try:
        partial.parent.mkdir(exist_ok=True)
        yield partial
        with partial.open("r+b") as file:
            os.fsync(file.fileno())  # else a power cut may leave the name with half of the file
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)


def write_text(target, text):
    """Replace a file by text in UTF-8."""
    with replacing(target) as path:
        path.write_text(text, "utf-8", newline="\n")


def table(rows, columns=None):
    r"""Return rows as comma-separated values.

    Names stay as they are, for programs to read back. A spreadsheet takes one that begins with
    `=`, `+`, `-` or `@` for a formula unless told to import the columns as text; a mark against
    that would make it another name.

    Args:
        rows: dicts; or lists, with `columns`.
        columns: their names; those of the first row unless given.

    Example:
        assert files.table([{"a": 1, "b": 2}]) == "a,b\n1,2\n"
    """
    rows = list(rows)
    text = io.StringIO()
    if rows and isinstance(rows[0], dict):
        writer = csv.DictWriter(
            text, columns or rows[0], lineterminator="\n", extrasaction="ignore"
        )
        writer.writeheader()
    else:
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue()


def read_table(path):
    """Return the rows of a table that `table` made, as dicts; none where there is no file."""
    path = pathlib.Path(path)
    return list(csv.DictReader(io.StringIO(path.read_text("utf-8")))) if path.is_file() else []
