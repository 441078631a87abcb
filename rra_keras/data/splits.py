"""Which examples train, which validate and which test.

What a data set does not bring is held out of its training images. `shares` is a dict split name →
share of all images; the drawing functions return a dict split name → sorted indices, with what is
left under `"train"`.
"""

import collections
import hashlib
import itertools
import unicodedata

import numpy as np

from rra_keras.measures.labels import rarest

SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
}
VALIDATION_SHARE = 0.15  # when a set brings no validation split
TEST_SHARE = 0.20  # when it brings no test split


def assign(given):
    """Return which of a data set's names is which split: `{"train": its name, …}`.

    With train and one other, the other is the test split, as its labels are what others report
    on; names that are no split names (in any case) are left out.

    Raises:
        ValueError: if two names mean the same split, or none of several means train.
    """
    found = {}
    for name in given:
        split = SPLIT_NAMES.get(name.lower())
        if split in found:
            raise ValueError(f"Expected one {split} split. Received: {found[split]} and {name}")
        if split:
            found[split] = name
    if len(found) == 1:
        return {"train": next(iter(found.values()))}
    if found and "train" not in found:
        raise ValueError(f"Expected a train split. Received: {', '.join(given)}")
    if len(found) == 2:
        found["test"] = found.pop("validation", found.get("test"))
    return found


def missing_shares(given):
    """Return the shares to hold out for the splits that are not among `given`."""
    shares = {"test": TEST_SHARE, "validation": VALIDATION_SHARE}
    return {name: share for name, share in shares.items() if name not in given}


def by_image(size, shares, seed):
    """Draw images whatever their class."""
    order = np.random.default_rng(seed).permutation(size)
    parts = {}
    for name, share in shares.items():
        count = max(1, round(share * size))
        parts[name], order = np.sort(order[:count]), order[count:]
    if not len(order):
        raise ValueError(
            f"Expected more than {len(shares)} training images, to hold out "
            f"{' and '.join(shares)}. Received: {size}"
        )
    return {"train": np.sort(order), **parts}


def by_key(labels, keys, shares, seed, known=None):
    """Decide by each photo itself where it goes, so that others that come or go do not move it.

    1. A hash of a photo's key and the seed is a number in [0, 1). The lowest ones, up to the
       first share, are the first of the held-out splits, the next ones the second.
    2. A class with photos of at least three keys has one in each split, one of two has one in
       train and in the first: where that is missing, the key next to it by number goes there, if
       it leaves no class without. In such small classes alone can a further photo move another
       one: into train, never out of it.

    Args:
        labels: `(N,)`; or tuples of several each, which may be empty.
        keys: of each photo; photos of one key stay in one split.
        shares: split → share of the photos to hold out.
        seed: sets the hash.
        known: key → split, of those that stay where they are.

    Returns:
        A dict split name → sorted indices.

    Raises:
        ValueError: if a split would be empty.

    Example:
        drawn = splits.by_key([0] * 9, "abcdefghi", {"test": 0.2}, seed=0)
        more = splits.by_key([0] * 8, "abcdefgh", {"test": 0.2}, seed=0)
        assert set(more["test"]) <= set(drawn["test"])
    """
    known = known or {}
    number = {key: _number(key, seed) for key in set(keys)}
    split_of = {key: known.get(key) or _drawn(number[key], shares) for key in number}
    classes, members = collections.defaultdict(set), collections.defaultdict(set)
    for each, key in zip(labels, keys, strict=True):
        for label in each if isinstance(each, tuple) else (each,):
            classes[key].add(label)
            members[label].add(key)
    wanted = {label: ("train", *shares)[: len(own)] for label, own in members.items()}
    count = collections.Counter((label, split_of[k]) for k in classes for label in classes[k])

    def can_go(key):
        split = split_of[key]
        return key not in known and all(
            count[label, split] > 1 or split not in wanted[label] for label in classes[key]
        )

    for label in sorted(members):
        for split in wanted[label]:
            if count[label, split]:
                continue
            order = sorted(members[label], key=number.get, reverse=split == "train")
            for key in itertools.islice(filter(can_go, order), 1):
                for other in classes[key]:
                    count[other, split_of[key]] -= 1
                    count[other, split] += 1
                split_of[key] = split

    parts = {name: [] for name in ("train", *shares)}
    for index, key in enumerate(keys):
        parts[split_of[key]].append(index)
    if empty := [name for name in ("train", *shares) if not parts[name]]:
        raise ValueError(
            f"Expected a class of at least {len(shares) + 1} images, or of as many groups, to hold "
            f"out {' and '.join(shares)}. Received: {len(labels)} images in {len(members)} "
            f"classes and {len(number)} groups, none left for {' and '.join(empty)}"
        )
    return {name: np.array(part, int) for name, part in parts.items()}


def _number(key, seed):
    # macOS and others spell one name in two ways.
    name = unicodedata.normalize("NFC", f"{seed}/{key}").encode("utf-8", "surrogateescape")
    return int.from_bytes(hashlib.blake2b(name, digest_size=8).digest()) / 2**64


def _drawn(number, shares):
    for split, share in shares.items():
        if number < share:
            return split
        number -= share
    return "train"


def by_turns(labels, count, seed=0, order=None):
    """Draw images of every class in turn, so that `count` of them cover what classes they can.

    Args:
        labels: `(N,)`; or `(N, C)` of 0 and 1, by each photo's rarest label.
        count: how many to draw; all where there are fewer.
        seed: sets which images of a class come first.
        order: all indices, those of a class that come first before the others; drawn unless given.

    Returns:
        Sorted indices, `(count,)`.

    Example:
        indices = splits.by_turns([0, 0, 0, 0, 1, 2], count=3)
        assert indices.tolist()[1:] == [4, 5]
    """
    labels = rarest(labels)
    if order is None:
        order = np.random.default_rng(seed).permutation(len(labels))
    turns = np.empty(len(labels), int)
    for label in np.unique(labels):
        members = order[labels[order] == label]
        turns[members] = np.arange(len(members))
    return np.sort(order[np.argsort(turns[order], kind="stable")][:count])
