"""Files by name, from a table or a plain list."""

import csv
import pathlib

_COLUMN = "file"
_DELIMITERS = ",;\t"  # what spreadsheets write, by country


def read(path):
    r"""Read the names of files.

    Args:
        path: a file in UTF-8: a table with a column `file` (others are left alone; values separated
            by commas, semicolons or tabs), or else one name a line.

    Returns:
        The names, a tuple in the order of the file; empty ones are left out.

    Raises:
        ValueError: if the file is no text.
        OSError: if it cannot be read.

    Example:
        with open("wrong.csv", "w") as file:
            file.write("file,label\nred/g0_0.png,blue\n")
        assert file_list.read("wrong.csv") == ("red/g0_0.png",)
    """
    try:
        text = pathlib.Path(path).read_text("utf-8-sig")  # Excel begins UTF-8 by a mark
        lines = text.splitlines()
        names = [line.strip() for line in lines]
        for delimiter in _DELIMITERS:
            rows = csv.DictReader(lines, delimiter=delimiter)
            if _COLUMN in (rows.fieldnames or ()):
                names = [row[_COLUMN] for row in rows]
                break
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(
            f"Expected a table or a list of files, in UTF-8. Received: {path} ({error})"
        ) from None
    return tuple(name for name in names if name)
