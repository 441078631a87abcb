"""`labels.csv` beside photos that may have several labels each."""

import csv
import dataclasses
import io

from rra_keras.data import walk
from rra_keras.measures.labels import SEPARATOR

NAME = "labels.csv"


@dataclasses.dataclass(frozen=True)
class LabelFile:
    """What `labels.csv` says.

    Attributes:
        class_names: all labels, sorted; of a table with a column a class, the columns'.
        labels: file → the places of its labels in `class_names`, none for a photo of nothing.

    Example:
        table = label_file.LabelFile(("jay", "tit"), {"1.jpg": (0, 1), "2.jpg": ()})
    """

    class_names: tuple[str, ...]
    labels: dict[str, tuple[int, ...]]


def find(root):
    """Return the `LabelFile` of a folder, `None` where it has none.

    1. A table with the columns `file` and `labels`: labels with `;` between them, or none.
    2. Or with a column `file` and one for each class, of 0 and 1.

    Files are relative to the folder, with slashes.

    Args:
        root: a `pathlib.Path`.

    Returns:
        A `LabelFile`, or `None`.

    Raises:
        ValueError: for a table of another form, or that cannot be read as UTF-8.

    Example:
        import pathlib

        assert label_file.find(pathlib.Path(photos)) is None
    """
    path = root / NAME
    if not path.is_file():
        return None
    try:
        text = path.read_text("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(
            f"Invalid {path}. Expected text in UTF-8. Received: another encoding; save it as "
            "CSV UTF-8"
        ) from None
    rows = csv.DictReader(io.StringIO(text))
    columns = rows.fieldnames or []
    classes = [name for name in columns if name != "file"]
    if "file" not in columns or not classes or len(set(columns)) < len(columns):
        raise ValueError(
            f"Invalid {path}. Expected the columns file and labels, or file and one of 0 and 1 "
            f"for each class; give another table another name. "
            f"Received: {', '.join(columns) or 'an empty file'}"
        )
    named = _joined if classes == ["labels"] else _of_columns
    found = {}
    for number, row in enumerate(rows, start=2):
        where = f"{path}, line {number}"
        file = (row["file"] or "").replace("\\", "/")
        if None in row or None in row.values() or not file:
            raise ValueError(
                f"Invalid {where}. Expected {len(columns)} columns. Received: "
                f"{sum(value is not None for value in row.values())}"
            )
        if file in found:
            raise ValueError(f"Invalid {where}. Expected each file once. Received: {file} again")
        found[file] = named(row, classes, where)
    if classes == ["labels"]:
        classes = list({name for names in found.values() for name in names})
    if len(classes) < 2:
        raise ValueError(
            f"Invalid {path}. Expected at least two labels. "
            f"Received: {', '.join(classes) or 'none'}"
        )
    for name in classes:
        if not walk.is_writable(name) or SEPARATOR in name or name != name.strip() or not name:
            raise ValueError(
                f"Invalid {path}. Expected labels of one line of text, without control characters "
                f"or `{SEPARATOR}`. Received: {walk.shown(name)!r}"
            )
    classes = sorted(classes)
    place = {name: i for i, name in enumerate(classes)}
    labels = {file: tuple(sorted(place[n] for n in names)) for file, names in found.items()}
    return LabelFile(tuple(classes), labels)


def _joined(row, _, where):
    names = [name.strip() for name in row["labels"].split(SEPARATOR) if name.strip()]
    if len(set(names)) < len(names):
        raise ValueError(f"Invalid {where}. Expected each label once. Received: {row['labels']}")
    return names


def _of_columns(row, classes, where):
    for name in classes:
        if row[name].strip() not in ("0", "1"):
            raise ValueError(
                f"Invalid {where}. Expected 0 or 1 in column {walk.shown(name)}. "
                f"Received: {row[name]!r}"
            )
    return [name for name in classes if row[name].strip() == "1"]
