"""What a split is, whatever it is read from."""

import numpy as np
import pytest
import tensorflow as tf
from conftest import tensorflow_only

from rra_keras import data

pytestmark = tensorflow_only("tf.data, the same whatever Keras runs on")

SIZE = 9


def entries(seed):
    """Example i has the label i % 3; the seed turns the order by as much."""
    order = np.roll(np.arange(SIZE), seed or 0)
    columns = {"index": order, "file": order, "label": order % 3}
    return tf.data.Dataset.from_tensor_slices(columns)


def read(entry):
    return {**entry, "image": tf.strings.as_string(entry["file"])}


@pytest.fixture
def split():
    return data.Split("test", SIZE, entries, read, names=tuple("abcdefghi"))


def listed(split, seed=None):
    return [(int(e["index"]), e["image"].numpy().decode()) for e in split.examples(seed)]


def test_labels_are_those_of_the_entries(split):
    assert split.labels.dtype == np.int64
    assert split.labels.tolist() == [0, 1, 2] * 3
    assert split.labels is split.labels  # taken once


def test_a_subset_is_in_stored_order_with_names_and_labels(split):
    some = split.subset([7, 2, 3, 2])
    assert (some.name, some.size, some.names) == ("test", 3, ("c", "d", "h"))
    assert some.labels.tolist() == [2, 0, 1]
    assert listed(some) == [(0, "2"), (1, "3"), (2, "7")]


def test_the_longer_side_is_the_median_of_photos_spread_over_the_split():
    def encoded(entry):
        pixels = tf.zeros((4, 10 * (entry["file"] + 1), 3), "uint8")  # 10 to 90 wide
        return {**entry, "image": tf.io.encode_png(pixels)}

    split = data.Split("test", SIZE, entries, encoded)
    assert split.longer_side() == 50
    assert split.longer_side(count=3) == 50  # of 10, 50 and 90
    assert split.subset([7]).longer_side() == 80


def test_a_seed_gives_a_subset_the_whole_s_order(split):
    assert listed(split.subset([2, 3, 7]), seed=4) == [(2, "7"), (0, "2"), (1, "3")]


def test_a_subset_of_a_subset(split):
    some = split.subset(range(1, 8)).subset([0, 6])
    assert some.names == ("b", "h")
    assert some.labels.tolist() == [1, 1]
    assert listed(some) == [(0, "1"), (1, "7")]


def test_all_and_none(split):
    assert listed(split.subset(range(SIZE)), seed=2) == listed(split, seed=2)
    none = split.subset([])
    assert (none.size, none.names, listed(none)) == (0, (), [])
    assert none.labels.tolist() == []


def test_splits_without_names_stay_without(split):
    assert data.Split("test", SIZE, entries).subset([1]).names is None


@pytest.mark.parametrize("indices", [[-1], [9], [0.5], [True, False]])
def test_what_is_no_place_is_refused(split, indices):
    with pytest.raises(ValueError, match=r"`indices`\. Expected integers in 0…8\. Received"):
        split.subset(indices)


def test_some_classes_alone_are_labelled_in_their_order(split):
    source = data.Source("nine", ("a", "b", "c"), {"test": split})
    some = source.of_classes(["c", "a"])
    assert some.class_names == ("c", "a")
    part = some.splits["test"]
    assert part.labels.tolist() == [1, 0] * 3
    assert part.names == ("a", "c", "d", "f", "g", "i")
    for seed in (None, 4):
        examples = list(part.examples(seed))
        assert {int(e["image"].numpy()) % 3: int(e["label"]) for e in examples} == {0: 1, 2: 0}
        assert listed(part, seed) == listed(split.subset([0, 2, 3, 5, 6, 8]), seed)
    assert part.subset([1, 2]).labels.tolist() == [0, 1]


@pytest.mark.parametrize("names", [["a", "d"], ["a", "a"]])
def test_what_is_no_class_is_refused(split, names):
    source = data.Source("nine", ("a", "b", "c"), {"test": split})
    with pytest.raises(ValueError, match=r"`names`\. Expected different ones of .*Received: "):
        source.of_classes(names)
