"""The same photo twice: the same bytes, or saved again, smaller or lighter."""

import collections
import dataclasses

import numpy as np

_CORRELATION = 0.985  # of two thumbnails' grays
_BITS = 56  # of 256 that may differ: whether a pixel is lighter than its left neighbor
_BLOCK = 128  # photos that are compared with all others at a time


@dataclasses.dataclass(frozen=True)
class Copy:
    """Two files that show one photo.

    Attributes:
        first: place of the first file.
        second: place of the second file.
        exact: whether they have the same bytes.

    Example:
        assert copies.Copy(0, 3, exact=True).second == 3
    """

    first: int
    second: int
    exact: bool


def pairs(contents, thumbnails):
    """Find photos that are there more than once.

    1. Files with the same content are exact copies.
    2. Others show nearly the same if two things hold of their thumbnails: the grays correlate by
       `_CORRELATION`, and of the 256 signs of a difference hash (lighter than the left neighbor?)
       at most `_BITS` differ.

    Of 150 photos of each of four sets (groceries, street scenes twice, rendered aircraft) it finds
    all that were compressed again, 90 to 100 % of those halved and 98 to 100 % of those lightened;
    4 to 82 % of those of a sixth of the size, and 4 to 79 % of those that lost 2 % at two sides.
    Among the 7,088 photos themselves it finds three pairs, which are copies.

    Args:
        contents: a digest of each file's bytes, N.
        thumbnails: `(N, 16, 17)` uint8, of `decode.thumbnail`.

    Returns:
        A list of `Copy`; of n exact copies each but the first is paired with the first.

    Example:
        thumbnails = np.random.default_rng(0).integers(0, 255, (3, 16, 17), "uint8")
        thumbnails[2] = thumbnails[0]
        assert copies.pairs(["a", "b", "c"], thumbnails) == [copies.Copy(0, 2, exact=False)]
    """
    firsts, found = {}, []
    for place, content in enumerate(contents):
        first = firsts.setdefault(content, place)
        if first != place:
            found.append(Copy(first, place, exact=True))
    places = np.array(sorted(firsts.values()), int)
    thumbnails = np.asarray(thumbnails)[places]
    halves = thumbnails[:, :, :16].reshape(-1, 8, 2, 8, 2).mean((2, 4), dtype="float32")
    coarse = _normalized(halves)  # finds the few pairs that are worth a closer comparison
    for start in range(0, len(places), _BLOCK):
        alike = coarse[start : start + _BLOCK] @ coarse[start:].T  # each pair once
        rows, columns = np.nonzero(alike >= _CORRELATION)
        rows, columns = (rows + start)[columns > rows], (columns + start)[columns > rows]
        same = _alike(thumbnails[rows], thumbnails[columns])
        found += [
            Copy(int(places[i]), int(places[j]), exact=False)
            for i, j in zip(rows[same], columns[same], strict=True)
        ]
    return found


def _alike(first, second):
    """Whether each thumbnail shows the same as the other, `(N,)`."""
    correlation = np.sum(_normalized(first) * _normalized(second), axis=1)
    lighter = [grays[:, :, 1:] > grays[:, :, :-1] for grays in (first, second)]
    bits = np.sum(lighter[0] != lighter[1], axis=(1, 2))
    return (correlation >= _CORRELATION) & (bits <= _BITS)


def _normalized(grays):
    """Return vectors of length 1 around 0; of a photo of one gray, zeros."""
    flat = grays.reshape(len(grays), grays.shape[1] * grays.shape[2]).astype("float32")
    flat = flat - flat.mean(axis=1, keepdims=True)
    return flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1.0)


def families(count, found):
    """Return a number for each photo that its copies share: the least place among them.

    Args:
        count: photos, N.
        found: what `pairs` returned for them.

    Example:
        pair = copies.Copy(0, 2, exact=True)
        assert copies.families(4, [pair]).tolist() == [0, 1, 0, 3]
    """
    neighbors = collections.defaultdict(list)
    for pair in found:
        neighbors[pair.first].append(pair.second)
        neighbors[pair.second].append(pair.first)
    family = np.full(count, -1)
    for place in range(count):
        waiting = [place] if family[place] < 0 else []
        while waiting:
            other = waiting.pop()
            if family[other] < 0:
                family[other] = place
                waiting += neighbors[other]
    return family
