"""Where things are in the photos of a split, as people or data sets say."""

import collections
import dataclasses
import re
import unicodedata
import urllib.parse

import numpy as np

from rra_keras.data import box_files

_NEAR = 0.01  # by which a box may reach beyond the photo; it is clipped
_SAME_ASPECT = 0.02  # relative difference of proportions that rounding explains
_UPLOADED = re.compile(r"^[0-9a-f]{8}-")  # what Label Studio puts before a photo's own name


@dataclasses.dataclass(frozen=True)
class Boxes:
    """The boxes of N photos, in stored order.

    Attributes:
        objects: `(N, M, 4)`, `y0 x0 y1 x1` in [0, 1] of the upright photo, from edge to edge; NaN
            where a photo has fewer than M.
        empty: `(N,)`, whether somebody said that there is no object.
        parts: `(N, P, 4)`, the P parts that together tell the class from its neighbors, or `None`.
        notes: lines on what was left out.
        labels: `(N, M)`, the class that is said of each box, `None` where none is.
    """

    objects: np.ndarray
    empty: np.ndarray | None = None
    parts: np.ndarray | None = None
    notes: tuple[str, ...] = ()
    labels: np.ndarray | None = None

    def __getitem__(self, index):
        """Return the boxes of some of the photos."""
        beside = {name: getattr(self, name) for name in ("empty", "parts", "labels")}
        beside = {name: None if each is None else each[index] for name, each in beside.items()}
        return dataclasses.replace(self, objects=self.objects[index], **beside)

    @property
    def known(self):
        """Which photos have a box, `(N,)`."""
        return ~np.isnan(self.objects[:, :, 0]).all(axis=1)

    @property
    def largest(self):
        """The largest box of each photo, `(N, 4)`; NaN where there is none."""
        areas = np.prod(self.objects[..., 2:] - self.objects[..., :2], axis=-1)
        chosen = np.nan_to_num(areas, nan=-1.0).argmax(axis=1)
        return self.objects[np.arange(len(self.objects)), chosen]


def read_boxes(path, names, size_of, labels=None):
    r"""Read boxes that people drew, and find the photos that they are of.

    1. `box_files.read` reads what tools write.
    2. Names are matched from the whole relative path down to the bare name, in any case and
       spelling: paths of other machines, URLs, the prefix of an upload and another ending do not
       hinder it. Two photos that fit are never guessed between.
    3. Coordinates become fractions of the upright photo. Where a file states a size, that tells
       whether its boxes are of the upright photo or of the stored one, which lies on its side.
    4. What cannot be used is counted by reason: `notes`.

    Args:
        path: see `box_files.READ`.
        names: the photos' names, relative to the data folder, with slashes.
        size_of: name → `((height, width), turn)` of the upright photo and, where it is stored
            otherwise, a function from a box in the stored photo to the upright one, or `None`.
        labels: the class name of each photo, or a tuple of several; boxes of another one of these
            classes are left out.

    Returns:
        `Boxes`.

    Raises:
        ValueError: if the file cannot be read, no photo is found, two photos fit one name, two
            files say something of one photo, or a stated size is of another photo.
        FileNotFoundError: if there is no such file.

    Example:
        from rra_keras.data.boxes import read_boxes

        with open("boxes.csv", "w") as file:
            file.write("file,y0,x0,y1,x1\na.jpg,0.1,0.2,0.5,0.9\n")
        found = read_boxes("boxes.csv", ["red/a.jpg", "b.jpg"], lambda name: ((40, 60), None))
        assert found.known.tolist() == [True, False]
    """
    drawn = [each for each in box_files.read(path) if each.boxes is not None]
    index = _Index(names)
    of_photo = [each if isinstance(each, tuple) else (each,) for each in labels or ()]
    classes = {name for each in of_photo for name in each}
    said, left_out, unmatched = {}, collections.Counter(), []
    examples = {}
    for each in drawn:
        place = index.find(each)
        if place is None:
            unmatched.append(each)
            continue
        if place in said and said[place][0].source != each.source:
            raise ValueError(
                f"Invalid value for `boxes`. Expected one file for each photo. Received: "
                f"{said[place][0].source} and {each.source}, both for {names[place]}"
            )
        kept = []
        fractions = _fractions(each, names[place], size_of) if each.boxes else []
        for box, label in zip(fractions, each.labels, strict=True):
            problem = _problem(box)
            if not problem and label in classes and label not in of_photo[place]:
                problem = "of another class"
            if problem:
                left_out[problem] += 1
                examples.setdefault(problem, f"{each.source}: {names[place]}")
            else:
                kept.append((np.clip(box, 0, 1), label))
        before = said[place][1] if place in said else []
        said[place] = (each, before + kept)
    if not said or not any(kept for _, kept in said.values()):
        raise _nothing(path, names, unmatched, left_out, examples)
    most = max(len(kept) for _, kept in said.values())
    objects = np.full((len(names), most, 4), np.nan)
    empty = np.zeros(len(names), bool)
    of_box = np.full((len(names), most), None, object)
    for place, (each, kept) in said.items():
        objects[place, : len(kept)] = np.reshape([box for box, _ in kept], (-1, 4))
        of_box[place, : len(kept)] = [label if label in classes else None for _, label in kept]
        empty[place] = not each.boxes
    notes = [
        f"boxes left out, {problem}: {count}, e.g. {examples[problem]}"
        for problem, count in left_out.items()
    ]
    if unmatched:
        notes.append(
            f"boxes of {len(unmatched)} photos that are not there, e.g. {unmatched[0].names[0]}"
        )
    return Boxes(objects, empty, notes=tuple(notes), labels=of_box)


def _names(source, label):
    """The class name of a photo's label, or a tuple of several."""
    if np.ndim(label) == 0:
        return source.class_names[label]
    return tuple(source.class_names[c] for c in np.flatnonzero(label))


def _nothing(path, names, unmatched, left_out, examples):
    if left_out:
        problem, count = left_out.most_common(1)[0]
        received = f"{count} {problem}, e.g. {examples[problem]}"
    else:
        received = f"none of these, but {unmatched[0].names[0] if unmatched else 'no photo'}"
    return ValueError(
        f"Invalid value for `boxes`. Expected boxes of photos such as {names[0]}. "
        f"Received: {path}, {received}"
    )


class _Index:
    """Photos by the ends of their paths."""

    def __init__(self, names):
        self.names = names
        self.whole, self.stems = collections.defaultdict(set), collections.defaultdict(set)
        for place, name in enumerate(names):
            parts = _parts(name)
            stem = [*parts[:-1], parts[-1].rpartition(".")[0] or parts[-1]]
            for start in range(len(parts)):
                self.whole[tuple(parts[start:])].add(place)
                self.stems[tuple(stem[start:])].add(place)

    def find(self, drawn):
        """Return the place of the photo that a `Drawn` is of, or `None`."""
        for table in (self.whole, self.stems):
            for name in drawn.names:
                parts = _parts(name)
                if table is self.stems and "." in parts[-1] and name != drawn.names[0]:
                    parts[-1] = parts[-1].rpartition(".")[0]
                place = self._longest(table, parts, drawn)
                if place is None and table is self.stems and "." in parts[-1]:
                    parts[-1] = parts[-1].rpartition(".")[0]
                    place = self._longest(table, parts, drawn)
                if place is not None:
                    return place
        return None

    def _longest(self, table, parts, drawn):
        for bare in (parts[-1], _UPLOADED.sub("", parts[-1])):
            ends = [*parts[:-1], bare]
            for start in range(len(ends)):
                found = table.get(tuple(ends[start:]))
                if found and len(found) > 1:
                    two = " and ".join(sorted(self.names[place] for place in found)[:2])
                    raise ValueError(
                        "Invalid value for `boxes`. Expected names that fit one photo each. "
                        f"Received: {drawn.names[0]} ({drawn.source}), which fits {two}"
                    )
                if found:
                    return next(iter(found))
        return None


def _parts(name):
    """Return a path's parts, whatever machine, address or spelling it is of."""
    if "://" in name or "?" in name:
        url = urllib.parse.urlsplit(name)
        # The path may stand in the query, as in `/data/local-files/?d=photos/a.jpg`.
        values = [value for _, value in urllib.parse.parse_qsl(url.query) if "." in value]
        name = values[-1] if values else url.path
    name = urllib.parse.unquote(name) if "%" in name else name
    name = unicodedata.normalize("NFC", name).casefold().replace("\\", "/")
    return [part for part in name.split("/") if part not in ("", ".", "..")] or [name]


def _fractions(drawn, name, size_of):
    """Return a photo's boxes as fractions of the upright photo, arrays of `y0 x0 y1 x1`."""
    boxes = np.reshape(drawn.boxes, (-1, 4)).astype(float)
    if not drawn.pixels and drawn.size is None:
        return boxes
    (height, width), turn = size_of(name)
    stored = (width, height) if turn and turn.swaps else (height, width)
    stated = drawn.size
    if stated is None:
        # Pixels of the upright photo, unless they only fit into the stored one.
        fits = (boxes[:, 2:].max(axis=0) <= np.array((height, width)) * (1 + _NEAR)).all()
        stated = (height, width) if fits or not turn else stored
    fractions = boxes / np.tile(stated, 2) if drawn.pixels else boxes
    if drawn.upright or _same_aspect(stated, (height, width)):
        return fractions
    if turn and _same_aspect(stated, stored):
        return np.array([turn(box) for box in fractions])
    raise ValueError(
        f"Invalid value for `boxes`. Expected boxes of the photo as it is, {width}×{height} "
        f"pixels. Received: of one of {stated[1]}×{stated[0]}, other proportions, for {name} "
        f"({drawn.source})"
    )


def _same_aspect(one, other):
    return abs(one[0] * other[1] / max(one[1] * other[0], 1) - 1) < _SAME_ASPECT


def _problem(box):
    y0, x0, y1, x1 = box
    if y1 < y0 or x1 < x0:
        return "turned over"
    if y1 <= y0 or x1 <= x0:
        return "without an area"
    if min(y0, x0) < -_NEAR or max(y1, x1) > 1 + _NEAR:
        return "outside of the photo"
    return None


class Turn:
    """From a box in a photo as it is stored to the photo turned upright, both in fractions.

    Args:
        orientation: EXIF orientation, 2…8.
    """

    def __init__(self, orientation):
        self.orientation = orientation
        self.swaps = orientation >= 5  # height and width

    def __call__(self, box):
        y0, x0, y1, x1 = box
        return np.array(
            {
                2: (y0, 1 - x1, y1, 1 - x0),
                3: (1 - y1, 1 - x1, 1 - y0, 1 - x0),
                4: (1 - y1, x0, 1 - y0, x1),
                5: (x0, y0, x1, y1),
                6: (x0, 1 - y1, x1, 1 - y0),
                7: (1 - x1, 1 - y1, 1 - x0, 1 - y0),
                8: (1 - x1, y0, 1 - x0, y1),
            }[self.orientation]
        )


def sizes_in(folder):
    """Return a function for `read_boxes` from a photo's name to its size, read off its header.

    Args:
        folder: what names are relative to.
    """
    from PIL import Image

    from rra_keras.data import decode

    def size_of(name):
        with Image.open(f"{folder}/{name}") as image:
            width, height = image.size
            orientation = decode.orientation(image)
        if orientation not in range(2, 9):
            return (height, width), None
        turn = Turn(orientation)
        return ((width, height) if turn.swaps else (height, width)), turn

    return size_of


def of_split(source, split, path):
    """Return the boxes of a split's photos.

    Args:
        source: a `Source`.
        split: the split's name.
        path: a box file, see `box_files.READ`; `"dataset"` for those that the set itself brings.

    Returns:
        `Boxes`.

    Raises:
        ValueError: as `read_boxes`, or if the set brings none, or its photos have no names.
        FileNotFoundError: if there is no such file.
    """
    whole = source.splits[split]
    if path == "dataset":
        if whole.boxes is None:
            raise ValueError(
                "Invalid value for `boxes`. Expected a box file, as these photos bring no boxes. "
                f"Received: boxes='dataset', {source.name}, {split}"
            )
        return whole.boxes
    if whole.names is None:
        raise ValueError(
            "Invalid value for `boxes`. Expected 'dataset', or a folder of photos: only files have "
            f"names. Received: boxes={path!r} with {source.name}"
        )
    # Of all splits at once: what another split holds is not missing.
    splits = list(source.splits.values())
    names = [name for each in splits for name in each.names]
    labels = [_names(source, label) for each in splits for label in each.labels]
    found = read_boxes(path, names, sizes_in(source.name.removeprefix("folder:")), labels)
    start = sum(each.size for each in splits[: splits.index(whole)])
    mine = found[np.arange(start, start + whole.size)]
    if not mine.known.any():
        raise ValueError(
            f"Invalid value for `boxes`. Expected boxes of {split} photos, such as "
            f"{whole.names[0]}. Received: {path}, with {int(found.known.sum())} of others"
        )
    return mine
