"""What every data set looks like to the rest of the package."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class Split:
    """One part of a data set: encoded images with their labels, in an order one can choose.

    `examples(None)` yields the stored order; `examples(seed)` an order set by `seed` alone (a
    Python int or a scalar int64 tensor, so that it may stand inside `Dataset.flat_map`). Each
    element is `{"index": int64, "image": string, "label": int64}`, all scalars; `index` names the
    same example in every order.

    Args:
        name: `"train"`, `"validation"` or `"test"`.
        size: the number of examples.
        examples: seed → `tf.data.Dataset`.
        names: the file names in stored order, relative to the data folder; `None` where examples
            are no files.
    """

    name: str
    size: int
    examples: Callable[[int | tf.Tensor | None], tf.data.Dataset]
    names: Sequence[str] | None = None


@dataclasses.dataclass(frozen=True)
class Source:
    """A data set: its classes and its three splits.

    Args:
        name: what was asked for, e.g. `"stanford_dogs"` or `"folder:photos"`.
        class_names: the class of label `i` is `class_names[i]`.
        splits: `"train"`, `"validation"` and `"test"`.
        notes: lines worth telling: what was held out, which files were skipped.
    """

    name: str
    class_names: tuple[str, ...]
    splits: dict[str, Split]
    notes: tuple[str, ...] = ()

    def summary(self) -> str:
        """Classes, images a split and notes, one line each."""
        sizes = ", ".join(f"{split.size} {name}" for name, split in self.splits.items())
        return "\n".join([f"{self.name}: {len(self.class_names)} classes, {sizes}", *self.notes])
