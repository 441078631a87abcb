"""Where things are in the images of a split: for measuring only, never for training."""

import csv
import dataclasses
import pathlib

import numpy as np

_COLUMNS = ("file", "y0", "x0", "y1", "x1")


@dataclasses.dataclass(frozen=True)
class Boxes:
    """The annotated boxes of a split's N images, in stored order.

    Attributes:
        objects: `(N, 4)`, `y0 x0 y1 x1` in [0, 1] from edge to edge; NaN where there is none.
        parts: `(N, P, 4)`, the P parts that together tell the class from its neighbors, or `None`.
    """

    objects: np.ndarray
    parts: np.ndarray | None = None

    def __getitem__(self, index):
        """Return the boxes of some of the images."""
        return Boxes(self.objects[index], None if self.parts is None else self.parts[index])


def read_boxes(path, names):
    r"""Read boxes from a table of comma-separated values, one line an image.

    Args:
        path: a file with the columns `file`, `y0`, `x0`, `y1`, `x1` (others are left alone):
            file names relative to the data folder, and fractions of the image's height and width.
        names: the split's file names.

    Returns:
        `Boxes`; images without a line have none.

    Raises:
        ValueError: naming the line and what was expected of it.
        OSError: if the file cannot be read.

    Example:
        with open("boxes.csv", "w") as file:
            file.write("file,y0,x0,y1,x1\na.jpg,0.1,0.2,0.5,0.9\n")
        boxes = annotated_boxes.read_boxes("boxes.csv", names=["a.jpg", "b.jpg"])
    """
    found = {}
    with pathlib.Path(path).open(newline="", encoding="utf-8") as file:
        try:
            table = csv.DictReader(file)
            missing = [name for name in _COLUMNS if name not in (table.fieldnames or ())]
            if missing:
                raise ValueError(
                    f"Invalid value for `--boxes`. Expected the columns {', '.join(_COLUMNS)}. "
                    f"Received: {path}, without {', '.join(missing)}"
                )
            for row in table:
                if row["file"] in found:
                    raise _bad_line(path, table, "one line a file", row["file"])
                found[row["file"]] = _box(path, table, row)
        except (csv.Error, UnicodeDecodeError) as error:
            raise ValueError(
                "Invalid value for `--boxes`. Expected comma-separated values in UTF-8. "
                f"Received: {path} ({error})"
            ) from None
    objects = np.array([found.get(name, [np.nan] * 4) for name in names])
    if np.isnan(objects).all():
        raise ValueError(
            "Invalid value for `--boxes`. Expected boxes of the split's files, such as "
            f"{names[0]!r}. Received: {path}, with {len(found)} others"
        )
    return Boxes(objects)


def _box(path, table, row):
    values = [row[name] for name in _COLUMNS[1:]]
    try:
        y0, x0, y1, x1 = (float(value) for value in values)
    except (TypeError, ValueError):
        raise _bad_line(path, table, "four numbers", ", ".join(map(str, values))) from None
    if not (0 <= y0 < y1 <= 1 and 0 <= x0 < x1 <= 1):
        raise _bad_line(path, table, "0 <= y0 < y1 <= 1 and 0 <= x0 < x1 <= 1", ", ".join(values))
    return y0, x0, y1, x1


def _bad_line(path, table, expected, received):
    return ValueError(
        f"Invalid value for `--boxes`. Expected {expected} in {path}, line {table.line_num}. "
        f"Received: {received}"
    )


def stored_boxes(dataset, split, data_dir=None):
    """Read the boxes that a set of TensorFlow Datasets stores with its images.

    Args:
        dataset: the set's name.
        split: a `Split` of it.
        data_dir: where it is kept.

    Returns:
        `Boxes`, with parts for `synthetic_birds`; `None` if the set has none, or if the split is
        held out of another and not one of its own.
    """
    import tensorflow_datasets as tfds

    from rra_keras.data import named, splits

    builder = tfds.builder(dataset, data_dir=data_dir)
    features = builder.info.features
    key = next(
        (k for k in features if isinstance(features[k], tfds.features.BBoxFeature)),
        None,
    )
    own = splits.assign(named.SPLITS.get(builder.name) or tuple(builder.info.splits))
    if key is None or split.name not in own:
        return None
    wanted = {name: True for name in (key, "parts", "distinguishing_part") if name in features}
    stored = builder.as_dataset(
        split=own[split.name],
        decoders=tfds.decode.PartialDecoding(wanted),
        read_config=tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False),
    )
    examples = list(stored.as_numpy_iterator())
    if len(examples) != split.size:  # some of them were held out
        return None
    objects = np.array([example[key] for example in examples], "float64")
    if "distinguishing_part" not in wanted:
        return Boxes(objects)
    parts = []
    for example in examples:
        boxes = dict(zip(example["parts"]["name"], example["parts"]["box"], strict=True))
        parts.append([boxes[name] for name in example["distinguishing_part"].split(b", ")])
    return Boxes(objects, np.array(parts, "float64"))  # (N, P, 4)
