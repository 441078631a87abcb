"""Small objects, by what the photos of a class have in common and the others have not."""

import numpy as np
from scipy import ndimage

from rra_keras.discovery.colocalize import resize
from rra_keras.discovery.observe import observe
from rra_keras.measures.boxes import whole
from rra_keras.measures.labels import listed

SIDE = 896  # pixels of what the encoder sees of a photo, at most
PHOTOS = 400  # that are matched, at most
OWN, OTHERS = 12, 36  # photos of the class, and of other classes, that each is matched with
GRID = 112  # cells along a map's side before it is cut off
THRESHOLD = 0.6  # of a map's peak above its median


def matched_boxes(encoder, photos, labels, seed=0):
    """Box what distinguishes the photos of each class, where it may be small.

    A photo of several classes has a box of each.

    1. The frozen encoder sees the whole photos, large → descriptors at two depths, whitened.
    2. Each position is matched with the best position of other photos: how much better in those of
       the class than in others (`matching_maps`)?
    3. The region around the peak, of both depths together, is the object (`peak_boxes`).

    Args:
        encoder: a `keras.Model` from images `(B, S, S, 3)`, 0…255, to `[coarse, fine]`.
        photos: `(N, S, S, 3)`, 0…255.
        labels: `(N, C)` of 0 and 1; a class needs two photos.
        seed: sets which photos are matched with which.

    Returns:
        Boxes `(N, M, 4)` float32, NaN where a photo has fewer labels than M.
    """
    views = whole(len(photos))
    options = {"side": SIDE, "components": 128, "sample": 160, "batch_size": 8}
    coarse, fine = observe(encoder, photos, views, seed=seed, **options)
    maps = [
        matching_maps(descriptors(coarse.features[..., :64], 0.5), labels, seed),
        matching_maps(descriptors(_halved(fine.features), 1.0), labels, seed),
    ]
    total = sum(_standardized(resize(each, GRID)) for each in maps)
    found = np.full((*listed(labels).shape, 4), np.nan, "float32")
    found[listed(labels) >= 0] = peak_boxes(total)
    return found


def descriptors(features, whitening):
    """Return features `(N, h, w, K)` divided by their deviation to a power, each of length 1."""
    x = np.asarray(features, "float32")
    deviation = x.std(axis=(0, 1, 2))
    x = x / (deviation + 1e-6 * deviation.max() + 1e-12) ** whitening
    return x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-12)


def _halved(features):
    """Average each four neighboring cells of features `(N, h, w, K)`, where there are many."""
    height, width = (side // 2 * 2 for side in features.shape[1:3])
    if min(height, width) < 14:
        return features
    x = np.asarray(features[:, :height, :width], "float32")
    return x.reshape(len(x), height // 2, 2, width // 2, 2, -1).mean(axis=(2, 4))


def matching_maps(features, labels, seed=0, own=OWN, others=OTHERS):
    """Return how much better each position is matched in photos of its class than in others.

    1. The likeness of a position to another photo is the greatest product of its descriptor with
       one of that photo's.
    2. Its mean over the better half of `own` photos of the class, as not each need show the same
       side of the object, less its mean over `others` photos.

    Args:
        features: `(N, h, w, K)`, each descriptor of length 1.
        labels: `(N, C)` of 0 and 1.
        seed: sets which photos are drawn.
        own: photos of the class, at most.
        others: photos of other classes, at most.

    Returns:
        `(L, h, w)` float32, of each label of each photo in turn; 0 for a class of one photo.
    """
    count, height, width, depth = features.shape
    flat = features.reshape(count, height * width, depth)
    rng = np.random.default_rng(seed)
    has = np.asarray(labels) > 0
    maps = np.zeros((has.sum(), height * width), "float32")
    for values, i, label in zip(maps, *np.nonzero(has), strict=True):
        same = np.flatnonzero(has[:, label])
        same = rng.permutation(same[same != i])[:own]
        different = rng.permutation(np.flatnonzero(~has[:, label]))[:others]
        if not len(same) or not len(different):
            continue
        likeness = _likeness(flat[i], flat[same])  # (own, P)
        better = np.sort(likeness, axis=0)[len(same) // 2 :]
        values[:] = better.mean(axis=0) - _likeness(flat[i], flat[different]).mean(axis=0)
    return maps.reshape(-1, height, width)


def _likeness(photo, others):
    """Return the greatest product of descriptors `(P, K)` with those of photos: `(R, P)`."""
    return np.stack([(photo @ other.T).max(axis=1) for other in others])


def _standardized(maps):
    mean, deviation = maps.mean(axis=(1, 2), keepdims=True), maps.std(axis=(1, 2), keepdims=True)
    return (maps - mean) / np.maximum(deviation, 1e-12)


def peak_boxes(maps, threshold=THRESHOLD):
    """Box the connected region around the peak of each map.

    Args:
        maps: `(N, h, w)`.
        threshold: share of the peak's height above the map's median that a cell needs.

    Returns:
        Boxes `(N, 4)` float32, `y0 x0 y1 x1` in [0, 1].
    """
    height, width = maps.shape[1:]
    boxes = whole(len(maps))
    for i, values in enumerate(maps):
        above = values - np.median(values)
        if not above.max() > 0:
            continue
        kept = above >= threshold * above.max()
        parts, _ = ndimage.label(kept, np.ones((3, 3)))
        part = parts[np.unravel_index(above.argmax(), above.shape)]
        y, x = ndimage.find_objects(parts)[part - 1]
        boxes[i] = y.start / height, x.start / width, y.stop / height, x.stop / width
    return boxes
