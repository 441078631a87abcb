"""What every data set looks like to the rest of the package."""

from __future__ import annotations

import dataclasses
import functools
import io
import itertools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from rra_keras.measures.labels import SEPARATOR, several

if TYPE_CHECKING:
    import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class Split:
    """One part of a data set: encoded images with their labels, in an order one can choose.

    Args:
        name: `"train"`, `"validation"` or `"test"`.
        size: the number of examples, N.
        entries: seed → `tf.data.Dataset` of what stands for the examples: dicts with `index` and
            `label` (int64 scalars) and what `read` needs. With `None` in stored order, otherwise
            in an order set only by the seed.
        read: entry → example, inside of tf.data; `None` where entries are examples. It may not go
            by `index`, which a subset counts from 0.
        names: the file names in stored order, relative to the data folder; `None` where examples
            are not files.
        read_labels: how to read `labels`; `None` to take them from the entries.
        contents: a digest of each file's bytes in stored order; `None` where there are no files.
        read_boxes: how to read `boxes`; `None` where the set brings none.

    Example:
        cats = split.subset(np.flatnonzero(split.labels == 0))
        first = next(iter(cats.examples(seed=None)))
    """

    name: str
    size: int
    entries: Callable[[int | tf.Tensor | None], tf.data.Dataset]
    read: Callable[[dict], dict] | None = None
    names: Sequence[str] | None = None
    read_labels: Callable[[], np.ndarray] | None = None
    contents: Sequence[str] | None = None
    read_boxes: Callable | None = None

    def examples(self, seed) -> tf.data.Dataset:
        """Return the examples, read as they are asked for.

        Args:
            seed: `None` for the stored order; a Python int or a scalar int64 tensor (so that it may
                stand inside `Dataset.flat_map`) for an order set only by it.

        Returns:
            A `tf.data.Dataset` of `{"index": int64, "image": string, "label": int64}`, all scalars.
            `index` is the example's place in the stored order, whatever the order.
        """
        import tensorflow as tf

        entries = self.entries(seed)
        if self.read is None:
            return entries
        return entries.map(self.read, num_parallel_calls=tf.data.AUTOTUNE)

    @functools.cached_property
    def labels(self) -> np.ndarray:
        """The labels in stored order, int64 `(N,)`, or of several each 0 and 1, `(N, C)`.

        No image is read for them.
        """
        if self.read_labels is not None:
            return self.read_labels()
        labels = self.entries(None).map(lambda entry: entry["label"]).batch(max(self.size, 1))
        return np.concatenate([np.empty(0, "int64"), *labels.as_numpy_iterator()])

    @functools.cached_property
    def boxes(self):
        """The `Boxes` that the set brings for its photos, in stored order; `None` without any."""
        return self.read_boxes() if self.read_boxes else None

    def aspects(self) -> np.ndarray:
        """Return each photo's width by its height, `(N,)`; only their headers are read."""
        sizes = (_size(example["image"]) for example in self.examples(None).as_numpy_iterator())
        return np.array([width / height for width, height in sizes])

    def longer_side(self, count=64) -> int:
        """Return the median longer side of some photos, in pixels; only their headers are read.

        Args:
            count: photos to look at: files spread evenly over the split, or the first of stored
                records, which are read in order.
        """
        some = self
        if self.read:
            some = self.subset(
                np.linspace(0, self.size - 1, min(count, self.size)).round().astype(int)
            )
        examples = itertools.islice(some.examples(None).as_numpy_iterator(), count)
        sides = [max(_size(example["image"])) for example in examples]
        return int(np.median(sides))

    def subset(self, indices) -> Split:
        """Return some of the examples as a `Split` of the same name; no other image is read.

        Args:
            indices: places in the stored order, in any order; what comes twice counts once.

        Returns:
            A `Split` in stored order, whose `index` counts from 0. A seed gives it the order that
            the whole has, less the others.

        Raises:
            ValueError: for what is no place of an example.
        """
        chosen = np.unique(indices)
        integers = chosen.dtype.kind in "iu" or not chosen.size
        if not integers or np.any((chosen < 0) | (chosen >= self.size)):
            raise ValueError(
                f"Invalid value for `indices`. Expected integers in 0…{self.size - 1}. "
                f"Received: {indices}"
            )
        chosen = chosen.astype("int64")
        places = np.full(self.size, -1)
        places[chosen] = np.arange(len(chosen))

        def entries(seed):
            import tensorflow as tf

            place = tf.constant(places)
            kept = self.entries(seed).filter(lambda entry: place[entry["index"]] >= 0)
            return kept.map(lambda entry: {**entry, "index": place[entry["index"]]})

        return dataclasses.replace(
            self,
            size=len(chosen),
            entries=entries,
            names=self.names and tuple(self.names[i] for i in chosen),
            read_labels=lambda: self.labels[chosen],
            contents=self.contents and tuple(self.contents[i] for i in chosen),
            read_boxes=self.read_boxes and (lambda: self.boxes and self.boxes[chosen]),
        )


def joined(name, parts) -> Split:
    """Return several splits as one: all of the first, then all of the next.

    A seed gives each part its own order, and draws from which part the next example comes.

    Example:
        both = data.sources.joined("train", [split, source.splits["test"]])
        assert both.size == split.size + source.splits["test"].size

    Args:
        name: of the whole.
        parts: `Split`s.
    """
    sizes = [part.size for part in parts]
    starts = np.concatenate([[0], np.cumsum(sizes)])
    which = np.repeat(np.arange(len(parts)), sizes)

    def entries(seed):
        import tensorflow as tf

        def moved(part, start):
            return part.examples(seed).map(lambda e: {**e, "index": e["index"] + start})

        choices = tf.constant(which, tf.int64)
        if seed is not None:
            key = tf.stack([tf.cast(seed, tf.int64), 1])
            choices = tf.random.experimental.stateless_shuffle(choices, key)
        return tf.data.Dataset.choose_from_datasets(
            [moved(part, start) for part, start in zip(parts, starts, strict=False)],
            tf.data.Dataset.from_tensor_slices(choices),
            stop_on_empty_dataset=False,
        )

    def all_of(values):
        return None if None in values else tuple(each for some in values for each in some)

    return Split(
        name,
        int(starts[-1]),
        entries,
        names=all_of([part.names for part in parts]),
        read_labels=lambda: np.concatenate([part.labels for part in parts]),
        contents=all_of([part.contents for part in parts]),
    )


@dataclasses.dataclass(frozen=True)
class Source:
    """A data set: its classes and its three splits.

    Args:
        name: what was asked for, e.g. `"stanford_dogs"` or `"folder:photos"`.
        class_names: the class of label `i` is `class_names[i]`.
        splits: `"train"`, `"validation"` and `"test"`.
        notes: lines worth telling: what was held out, which files were skipped.
        copies: photos that are in two splits or two classes: dicts of `file`, `split`, `label`,
            `other`, `other_split`, `other_label` and `exact`.
        excluded: name and content of each file that was left out by name.
        changes: lines on what is not as it was when a run began; empty if all is.

    Example:
        source = data.Source("mine", ("crow", "jay"), {"train": split, "test": split})
        print(source.summary())
    """

    name: str
    class_names: tuple[str, ...]
    splits: dict[str, Split]
    notes: tuple[str, ...] = ()
    copies: tuple[dict, ...] = ()
    excluded: tuple[tuple[str, str], ...] = ()
    changes: tuple[str, ...] = ()

    @property
    def answer(self) -> str:
        """`"one"` where a photo has one label, `"any"` where it may have any number."""
        return "any" if several(next(iter(self.splits.values())).labels) else "one"

    def label_names(self, label) -> str:
        """Return the name of a label, or those of several, joined by `;`."""
        if np.ndim(label) == 0:
            return self.class_names[label]
        return SEPARATOR.join(self.class_names[c] for c in np.flatnonzero(label))

    def of_classes(self, names) -> Source:
        """Return the examples of only some classes, as a `Source`; no image is read.

        Example:
            others = source.of_classes(["green", "blue"])
            print(others.summary())

        Args:
            names: the classes; the label is the place in it.

        Raises:
            ValueError: if one is no class of this, or comes twice.
        """
        names = tuple(names)
        if len(set(names) & set(self.class_names)) < len(names):
            raise ValueError(
                f"Invalid value for `names`. Expected different ones of {self.class_names}. "
                f"Received: {names}"
            )
        places = np.array([names.index(n) if n in names else -1 for n in self.class_names])
        splits = {
            name: _relabel(split.subset(np.flatnonzero(places[split.labels] >= 0)), places)
            for name, split in self.splits.items()
        }
        return dataclasses.replace(self, class_names=names, splits=splits)

    def summary(self) -> str:
        """Return classes, images in each split and notes, one line each."""
        sizes = ", ".join(f"{split.size} {name}" for name, split in self.splits.items())
        return "\n".join([f"{self.name}: {len(self.class_names)} classes, {sizes}", *self.notes])


def _size(encoded):
    """Return a photo's width and height, by its header."""
    from PIL import Image

    return Image.open(io.BytesIO(encoded)).size


def _relabel(split, places):
    """Return a split whose label i is `places[i]`."""

    def entries(seed):
        import tensorflow as tf

        place = tf.constant(places, tf.int64)
        return split.entries(seed).map(lambda entry: {**entry, "label": place[entry["label"]]})

    return dataclasses.replace(split, entries=entries, read_labels=lambda: places[split.labels])
