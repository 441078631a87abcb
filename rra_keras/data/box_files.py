"""Box files as tools write them: our own table, COCO, Pascal VOC, YOLO, Label Studio and CUB."""

import csv
import dataclasses
import json
import math
import pathlib

import numpy as np
from defusedxml import ElementTree
from defusedxml.common import DefusedXmlException

READ = (
    "a CSV table (file,y0,x0,y1,x1), COCO JSON, Label Studio JSON, a folder of Pascal VOC XML, a "
    "folder of YOLO txt, or CUB's bounding_boxes.txt"
)
_COLUMNS = ("file", "y0", "x0", "y1", "x1")
_BESIDE = ("classes.txt", "labels.txt", "obj.names", "train.txt", "val.txt", "test.txt")  # of YOLO


@dataclasses.dataclass(frozen=True)
class Drawn:
    """What a file says of one photo.

    Attributes:
        names: what the photo may be called, the likeliest first; without an ending for a file of
            the same stem.
        boxes: lists of `y0 x0 y1 x1`; empty for "no object here".
        labels: the class of each box, `None` where the file does not say.
        pixels: whether boxes are pixels; else fractions of the height and width.
        size: height and width that the file states, or `None`.
        upright: whether boxes are known to be of the upright photo, whatever `size` says.
        source: where it stands, for messages.

    Example:
        drawn = box_files.Drawn(("a.jpg",), [(0.1, 0.2, 0.5, 0.9)], [None], source="boxes.csv")
    """

    names: tuple
    boxes: list
    labels: list
    pixels: bool = False
    size: tuple | None = None
    upright: bool = False
    source: str = ""


def read(path):
    r"""Read a box file, or a folder of them.

    Args:
        path: one of `READ`.

    Returns:
        A list of `Drawn`.

    Raises:
        ValueError: naming what was expected and what came: an unknown format, JSON or XML that is
            cut off, a value that is no number, and a file without a box.
        FileNotFoundError: if there is none.

    Example:
        with open("boxes.csv", "w") as file:
            file.write("file,y0,x0,y1,x1\na.jpg,0.1,0.2,0.5,0.9\n")
        (drawn,) = box_files.read("boxes.csv")
        assert drawn.boxes == [(0.1, 0.2, 0.5, 0.9)]
    """
    path = pathlib.Path(path)
    if not path.exists():
        raise FileNotFoundError(
            f"Invalid value for `boxes`. Expected {READ}. Received: {path}, not found"
        )
    try:
        found = _format(path)(path)
    except (
        *(UnicodeDecodeError, csv.Error, json.JSONDecodeError),
        *(ElementTree.ParseError, DefusedXmlException),
    ) as error:
        raise ValueError(
            f"Invalid value for `boxes`. Expected a whole file. Received: {path} ({error})"
        ) from None
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise ValueError(
            f"Invalid value for `boxes`. Expected {READ}. Received: {path}, in which something is "
            f"missing ({type(error).__name__}: {error})"
        ) from None
    if not any(drawn.boxes for drawn in found):
        raise ValueError(
            f"Invalid value for `boxes`. Expected boxes. Received: {path}, without any"
        )
    return found


def _format(path):
    """Return the function that reads a file or folder."""
    if path.is_dir():
        if any(path.rglob("*.xml")):
            return _voc
        if (path / "bounding_boxes.txt").is_file():
            return lambda folder: _cub(folder / "bounding_boxes.txt")
        if any(path.rglob("*.txt")):
            return _yolo
    elif path.name == "bounding_boxes.txt":
        return _cub
    elif path.suffix.lower() == ".json":
        return _json
    elif path.suffix.lower() == ".xml":
        return _voc
    elif path.suffix.lower() in (".csv", ".tsv"):
        return _table
    elif path.suffix.lower() in (".yaml", ".yml"):
        return lambda file: _yolo(file.parent)
    raise ValueError(
        f"Invalid value for `boxes`. Expected {READ}. Received: {path}, another format"
    )


def _table(path):
    """Our own: fractions; numbers beyond 1 are pixels. A row a box."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        lines = file.read().splitlines()
    delimiter = max(",;\t", key=(lines or [""])[0].count)
    table = csv.DictReader(lines, delimiter=delimiter)
    if missing := [name for name in _COLUMNS if name not in (table.fieldnames or ())]:
        raise ValueError(
            f"Invalid value for `boxes`. Expected the columns {', '.join(_COLUMNS)}. "
            f"Received: {path}, without {', '.join(missing)}"
        )
    rows = {}
    for row in table:
        source = f"{path}, line {table.line_num}"
        values = [row[name] for name in _COLUMNS[1:]]
        boxes = rows.setdefault(row["file"], ([], [], source))
        if any((value or "").strip() for value in values):  # a file alone: no object here
            boxes[0].append(_numbers(values, source))
            boxes[1].append(row.get("label"))
    return [
        Drawn(
            (name,),
            boxes,
            labels,
            # A box that ends a little outside is no sign of pixels.
            pixels=any(max(box) > 2 for box in boxes),
            source=source,
        )
        for name, (boxes, labels, source) in rows.items()
    ]


def _numbers(values, source):
    try:
        numbers = tuple(float(value) for value in values)
    except (TypeError, ValueError):
        numbers = (math.nan,)
    if len(numbers) != 4 or not all(map(math.isfinite, numbers)):
        raise ValueError(
            f"Invalid value for `boxes`. Expected four numbers in {source}. "
            f"Received: {', '.join(map(str, values))}"
        )
    return numbers


def _json(path):
    content = json.loads(path.read_text("utf-8-sig"))
    if isinstance(content, dict) and "images" in content:
        return _coco(content, path)
    tasks = content if isinstance(content, list) else [content]
    return [_label_studio(task, f"{path}, task {n}") for n, task in enumerate(tasks, start=1)]


def _coco(content, path):
    names = {each["id"]: each["name"] for each in content.get("categories", [])}
    # It writes shares of the upright photo times the size as stored.
    upright = (content.get("info") or {}).get("contributor") == "Label Studio"
    boxes, labels = {}, {}
    for each in content.get("annotations", []):
        box = each.get("bbox")
        if not box and isinstance(each.get("segmentation"), list):
            points = np.concatenate([np.reshape(part, (-1, 2)) for part in each["segmentation"]])
            low, high = points.min(axis=0), points.max(axis=0)
            box = [*low, *(high - low)]
        if not box:
            continue  # only a mask of runs
        x, y, width, height = _numbers(box, f"{path}, annotation {each.get('id')}")
        boxes.setdefault(each["image_id"], []).append((y, x, y + height, x + width))
        labels.setdefault(each["image_id"], []).append(names.get(each.get("category_id")))
    return [
        Drawn(
            (image["file_name"],),
            boxes[image["id"]],
            labels[image["id"]],
            pixels=True,
            size=(image["height"], image["width"]) if image.get("height") else None,
            upright=upright,
            source=str(path),
        )
        for image in content["images"]
        if image["id"] in boxes
    ]


def _label_studio(task, source):
    """A task of Label Studio's own JSON: percent of the upright photo, the last annotator's."""
    done = [each for each in task.get("annotations", []) if not each.get("was_cancelled")]
    boxes, labels = [], []
    for region in done[-1]["result"] if done else []:
        value = region.get("value", {})
        if "width" not in value:
            continue
        x, y, width, height = _numbers(
            [value[key] for key in ("x", "y", "width", "height")], source
        )
        ratio = (region.get("original_height") or 1) / (region.get("original_width") or 1)
        boxes.append(_turned(x / 100, y / 100, width / 100, height / 100, value, ratio))
        labels.append(next(iter(value.get("rectanglelabels", [])), None))
    name = next(str(value) for value in task["data"].values() if isinstance(value, str))
    names = (name, task["file_upload"]) if task.get("file_upload") else (name,)
    # Without an annotation nobody looked at it: no box, and no word of "no object".
    return Drawn(names, boxes if done else None, labels, upright=True, source=source)


def _turned(x, y, width, height, value, ratio):
    """The bounds of a box that is turned around its upper left corner, in fractions."""
    angle = math.radians(value.get("rotation", 0))
    corners = []
    for across, down in ((0, 0), (width, 0), (width, height), (0, height)):
        # One unit of x is the photo's width, of y its height.
        corners.append(
            (
                y + across * math.sin(angle) / ratio + down * math.cos(angle),
                x + across * math.cos(angle) - down * ratio * math.sin(angle),
            )
        )
    low, high = np.min(corners, axis=0), np.max(corners, axis=0)
    return (*map(float, low), *map(float, high))


def _voc(path):
    return [_voc_file(file) for file in _files(path, "*.xml")]


def _voc_file(file):
    root = ElementTree.parse(file).getroot()
    boxes, labels = [], []
    for each in root.iter("object"):
        bounds = each.find("bndbox")
        if bounds is None:
            continue
        values = [bounds.findtext(key) for key in ("ymin", "xmin", "ymax", "xmax")]
        boxes.append(_numbers(values, str(file)))
        labels.append(each.findtext("name"))
    size = [root.findtext(f"size/{key}") for key in ("height", "width")]
    size = tuple(int(float(side)) for side in size) if all(size) else None
    written = [root.findtext("path"), root.findtext("filename")]
    if root.findtext("folder") and root.findtext("filename"):
        written.insert(1, f"{root.findtext('folder')}/{root.findtext('filename')}")
    # Photos are renamed with their XML; what stands in it stays as it was.
    names = (file.with_suffix("").as_posix(), *filter(None, written))
    return Drawn(names, boxes, labels, True, size if size and all(size) else None, source=str(file))


def _yolo(folder):
    found = []
    for file in _files(folder, "*.txt"):
        if file.name in _BESIDE:
            continue
        boxes, labels = [], []
        for number, line in enumerate(file.read_text("utf-8-sig").splitlines(), start=1):
            if not line.split():
                continue
            values = line.split()[1:]  # behind the number of the class
            source = f"{file}, line {number}"
            if len(values) in (4, 5):  # 5: with a confidence
                x, y, width, height = _numbers(values[:4], source)
                boxes.append((y - height / 2, x - width / 2, y + height / 2, x + width / 2))
            elif len(values) >= 6 and len(values) % 2 == 0:
                try:
                    points = np.reshape([float(value) for value in values], (-1, 2))
                except ValueError:
                    points = np.full((1, 2), math.nan)
                low, high = points.min(axis=0), points.max(axis=0)
                boxes.append(_numbers((low[1], low[0], high[1], high[0]), source))
            else:
                raise ValueError(
                    f"Invalid value for `boxes`. Expected a class and four numbers in {source}. "
                    f"Received: {line[:60]}"
                )
            labels.append(None)  # numbers, whose names other files hold
        found.append(Drawn((file.with_suffix("").as_posix(),), boxes, labels, source=str(file)))
    return found


def _cub(path):
    names = dict(
        line.split(maxsplit=1)
        for line in path.with_name("images.txt").read_text("utf-8").splitlines()
        if line.strip()
    )
    found = []
    for line in path.read_text("utf-8").splitlines():
        if not line.strip():
            continue
        number, *values = line.split()
        x, y, width, height = _numbers(values, f"{path}, image {number}")
        box = (y, x, y + height, x + width)
        found.append(Drawn((names[number],), [box], [None], pixels=True, source=str(path)))
    return found


def _files(path, pattern):
    return sorted(path.rglob(pattern)) if path.is_dir() else [path]
