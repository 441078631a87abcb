"""What a frozen encoder sees in photos, small enough to keep."""

import dataclasses
import itertools

import keras
import numpy as np
from tqdm import tqdm

from rra_keras.discovery.colocalize import principal_components, project
from rra_keras.layers.zoom_crop import ZoomCrop
from rra_keras.measures.photos import filled

SIDE = 448  # pixels of what the encoder sees of a photo, at most, unless told
STRIDE = 2  # pixels between its samples, beyond which they are averages


@dataclasses.dataclass(frozen=True)
class Observed:
    """Features of N photos at one depth of an encoder.

    Attributes:
        features: `(N, h, w, K)` float16, each position's descriptor on K principal components.
        norms: `(N, h, w)` float32, the descriptors' Euclidean norms.
    """

    features: np.ndarray
    norms: np.ndarray


def observe(encoder, photos, views, sample=320, components=64, batch_size=16, seed=0, side=SIDE):
    """Run an encoder over parts of photos and keep what object discovery needs.

    1. The photos in batches, in an order drawn from `seed`, each cropped to its view and resized to
       `side` pixels where it is larger → feature maps at two depths.
    2. Principal components of each depth over the first `sample` photos, enough of them to know
       what all have in common.
    3. Each descriptor projected on them, as half floats, and its norm: 130 kB for a photo of 448
       pixels in place of 3 MB.

    Args:
        encoder: a `keras.Model` from images `(B, S, S, 3)`, 0…255, to `[coarse, fine]`, as
            `build_encoder(..., fine_features=True)` returns.
        photos: `(N, S, S, 3)`, 0…255; memory-mapped arrays do.
        views: `(N, 4)`, `y0 x0 y1 x1` in [0, 1].
        sample: photos that the components are computed from.
        components: principal components `K` kept of each depth.
        batch_size: photos at a time.
        seed: sets which photos make the sample.
        side: pixels of what the encoder sees of a photo, at most.

    Returns:
        `(coarse, fine)`, two `Observed` in the order of `photos`.
    """
    order = np.random.default_rng(seed).permutation(len(photos))
    viewer = _viewer(encoder, photos, side)
    batches = _encoded(viewer, photos, views, order, batch_size)
    first, count = [], 0
    for batch, maps in batches:
        first.append((batch, [features.astype("float16") for features in maps]))
        count += len(batch)
        if count >= sample:
            break
    depths = [np.concatenate(maps) for maps in zip(*(maps for _, maps in first), strict=True)]
    bases = [principal_components(features, components) for features in depths]
    observed = [_reserve(len(photos), *pair) for pair in zip(depths, bases, strict=True)]
    del depths
    for batch, maps in itertools.chain(first, batches):
        for depth, features, basis in zip(observed, maps, bases, strict=True):
            depth.features[batch] = project(features, *basis)
            depth.norms[batch] = np.sqrt(np.square(features, dtype="float32").sum(axis=-1))
    return tuple(observed)


def _viewer(encoder, photos, side):
    images = keras.Input(photos.shape[1:], dtype=str(photos.dtype))
    view = keras.Input((4,))
    crops = ZoomCrop(min(photos.shape[1], side), stride=STRIDE)([images, view])
    return keras.Model([images, view], encoder(crops))


def _encoded(viewer, photos, views, order, batch_size):
    """Yield the indices of each batch and its feature maps, behind a progress bar."""
    with tqdm(total=len(order), desc="Looking for objects", unit="photo", disable=None) as bar:
        for start in range(0, len(order), batch_size):
            batch = np.sort(order[start : start + batch_size])  # files are read forwards
            inputs = [filled(photos[batch], batch_size), filled(views[batch], batch_size)]
            maps = viewer.predict_on_batch(inputs)
            yield batch, [np.asarray(features)[: len(batch)] for features in maps]
            bar.update(len(batch))


def _reserve(size, features, basis):
    _, components = basis
    shape = (size, *features.shape[1:3])
    return Observed(np.empty((*shape, components.shape[1]), "float16"), np.empty(shape, "float32"))
