"""Which examples train, which validate and which test.

What a data set does not bring is held out of its training images. `shares` is a dict split name →
share of all images; the drawing functions return a dict split name → sorted indices, with what is
left under `"train"`.
"""

import collections

import numpy as np

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


def by_class(labels, shares, seed):
    """Draw the share of every class, at least one image while one is left to train on."""
    rng = np.random.default_rng(seed)
    labels = np.asarray(labels)
    parts = {name: [] for name in ("train", *shares)}
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        size = len(members)
        for name, share in shares.items():
            count = min(max(1, round(share * size)), len(members) - 1)
            parts[name].extend(members[:count])
            members = members[count:]
        parts["train"].extend(members)
    for name in shares:
        if not parts[name]:
            raise ValueError(
                f"Expected a class of at least {len(shares) + 1} images, to hold out "
                f"{' and '.join(shares)}. Received: {len(labels)} images in "
                f"{len(np.unique(labels))} classes"
            )
    return {name: np.sort(part) for name, part in parts.items()}


def by_turns(labels, count, seed=0):
    """Draw images of every class in turn, so that `count` of them cover what classes they can.

    Args:
        labels: `(N,)`.
        count: how many to draw; all where there are fewer.
        seed: sets which images of a class come first.

    Returns:
        Sorted indices, `(count,)`.

    Example:
        indices = splits.by_turns([0, 0, 0, 0, 1, 2], count=3)
        assert indices.tolist()[1:] == [4, 5]
    """
    labels = np.asarray(labels)
    order = np.random.default_rng(seed).permutation(len(labels))
    turns = np.empty(len(labels), int)
    for label in np.unique(labels):
        members = order[labels[order] == label]
        turns[members] = np.arange(len(members))
    return np.sort(order[np.argsort(turns[order], kind="stable")][:count])


def by_group(labels, groups, shares, seed):
    """Draw whole groups, in random order, while the number of images gets nearer to the share.

    A group that holds the last training images of some class is passed over.
    """
    labels = np.asarray(labels)
    members = collections.defaultdict(list)  # group → indices
    for index, group in enumerate(groups):
        members[group].append(index)
    order = [str(group) for group in np.random.default_rng(seed).permutation(sorted(members))]
    left = np.bincount(labels)  # training images a class
    counts = {group: np.bincount(labels[members[group]], minlength=len(left)) for group in order}

    def can_go(group):
        return np.all((left > counts[group]) | (counts[group] == 0))

    parts = {}
    for name, share in shares.items():
        target, size, chosen = share * len(labels), 0, []
        for group in order:
            grown = size + len(members[group])
            if abs(grown - target) < abs(size - target) and can_go(group):
                size = grown
                chosen.append(group)
                left -= counts[group]
        if not chosen:  # every group that can go is more than twice the target
            candidates = [group for group in order if can_go(group)]
            if not candidates:
                raise ValueError(
                    f"Expected a group to hold out for {name} that leaves every class an image "
                    f"to train on. Received: {len(members)} groups, none of which can go"
                )
            chosen = [min(candidates, key=lambda group: len(members[group]))]
            left -= counts[chosen[0]]
        order = [group for group in order if group not in chosen]
        parts[name] = np.sort(np.concatenate([members[group] for group in chosen]))
    return {"train": np.sort(np.concatenate([members[group] for group in order])), **parts}
