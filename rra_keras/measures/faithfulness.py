"""Does the answer depend on what a map marks? Deletion and insertion."""

import numpy as np
from scipy import ndimage
from scipy.special import softmax

SHARES = np.linspace(0, 1, 11)  # of the image, deleted or inserted
_BLUR = 0.05  # of the image's side, standard deviation


def ranks(maps, ties):
    """Return each place's rank by falling value, the k-th of n places giving (k + 0.5) / n.

    Args:
        maps: `(M, G, G)`.
        ties: `(G, G)`; among equal values the greater of these comes first.
    """
    flat = maps.reshape(len(maps), -1)
    ranked = np.empty(flat.shape)
    for row, values in enumerate(flat):
        order = np.lexsort((-ties.ravel(), -values))
        ranked[row, order] = (np.arange(len(values)) + 0.5) / len(values)
    return ranked.reshape(maps.shape)


def swapped(image, other, rank, shares):
    """Return `image` with its first places replaced by `other`'s, once for each share.

    Args:
        image: `(S, S, 3)`.
        other: `(S, S, 3)`.
        rank: `(G, G)` in [0, 1]; G need not divide S.
        shares: `(K,)` of the places to replace.

    Returns:
        `(K, S, S, 3)`.
    """
    index = np.arange(len(image)) * len(rank) // len(image)
    rank = rank[np.ix_(index, index)][..., None]  # (S, S, 1)
    return np.stack([np.where(rank < share, other, image) for share in shares])


def area_under(curve):
    """Return the area under `(…, K)` values at evenly spaced shares from 0 to 1."""
    return np.trapezoid(curve, dx=1 / (curve.shape[-1] - 1), axis=-1)


def curves(predict, image, answer, maps, ties, shares=SHARES):
    """Return the answer's probability as what each map marks is deleted, and inserted.

    Deletion puts the image's mean color over the places a map ranks first, share by share; a
    faithful map makes the answer fall soon. Insertion starts from the blurred image and puts
    those places back; a faithful map makes it rise soon. The whole model runs on every image, so
    its looks may move elsewhere.

    Source: Petsiuk et al., "RISE" (BMVC 2018), here in ten shares and at the maps' resolution.

    Args:
        predict: images `(K, S, S, 3)` → logits `(K, C)`.
        image: `(S, S, 3)`, RGB 0…255.
        answer: the class whose probability is followed.
        maps: `(M, G, G)`.
        ties: `(G, G)`, the order of places that a map does not tell apart.
        shares: `(K,)`, from 0 to 1.

    Returns:
        deletion `(M, K)` and insertion `(M, K)`.
    """
    image = np.asarray(image, "float32")
    mean = np.broadcast_to(image.mean(axis=(0, 1)), image.shape)
    blurred = ndimage.gaussian_filter(image, (_BLUR * len(image),) * 2, axes=(0, 1))
    results = []
    for start, end in ((image, mean), (blurred, image)):
        inner = [swapped(start, end, rank, shares[1:-1]) for rank in ranks(maps, ties)]
        logits = predict(np.concatenate([*inner, start[None], end[None]]))
        followed = softmax(logits, axis=-1)[:, answer]
        inside = followed[:-2].reshape(len(maps), -1)
        ends = [np.full((len(maps), 1), value) for value in followed[-2:]]
        results.append(np.concatenate([ends[0], inside, ends[1]], axis=1))
    return tuple(results)


def center_map(size):
    """Return a map `(G, G)` that falls off from the middle of the image."""
    place = (np.arange(size) + 0.5) / size - 0.5
    return -np.hypot(place[:, None], place[None])
