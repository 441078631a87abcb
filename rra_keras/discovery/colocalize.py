"""Where the object is that photos share: boxes out of frozen features, without a box label.

Everything here is NumPy and SciPy. Features of a photo come at two depths of one network: `coarse`
knows objects best, `fine` has the sharper edges.
"""

import numpy as np
from scipy import linalg, ndimage

THRESHOLD = 0.2  # of a map's maximum
GRID = 112  # cells along a map's side before it is cut off: a box's edges fall on 1/112


def principal_components(features, count):
    """Return the mean of descriptors and the directions in which they vary most.

    1. Every position of every photo is one descriptor: `(N, h, w, D)` → `(N · h · w, D)`; of maps
       beyond 16 cells a side every second row and column is enough.
    2. Their covariance `(D, D)`, summed photo by photo in float32, so that half floats do.
    3. Its eigenvectors of the largest eigenvalues, the largest first.

    Args:
        features: `(N, h, w, D)`.
        count: directions `K`, at most `D`.

    Returns:
        `(mean, components)`: `(D,)` and `(D, K)`, float32.
    """
    depth = features.shape[-1]
    every = 1 + max(features.shape[1:3]) // 17
    features = features[:, ::every, ::every]
    total, products = np.zeros(depth), np.zeros((depth, depth), "float32")
    # Subtracted beforehand, so that the covariance is no small difference of large numbers.
    near = features[0].reshape(-1, depth).mean(axis=0, dtype="float32")
    for photo in features:
        descriptors = photo.reshape(-1, depth).astype("float32") - near  # (h·w, D)
        total += descriptors.sum(axis=0)
        products += descriptors.T @ descriptors
    positions = features[..., 0].size
    mean = total / positions
    covariance = products / positions - np.outer(mean, mean).astype("float32")
    largest = [max(depth - count, 0), depth - 1]
    _, components = linalg.eigh(covariance, subset_by_index=largest)  # ascending
    return (near + mean).astype("float32"), components[:, ::-1]


def project(features, mean, components):
    """Return what descriptors `(…, D)` hold of the components `(D, K)`, `(…, K)` float32."""
    return (features - mean).astype("float32") @ components


def common_maps(features):
    """Return how much each position shows of what the photos have in common.

    Deep descriptor transforming: an object that most photos show makes descriptors that differ
    from the background's more than backgrounds differ from one another, so the first principal
    component over all positions tells the two apart.

    1. First principal component of all descriptors, which each descriptor is projected on.
    2. Its sign is open: the photos' borders, where objects are least, are made negative.
    3. What is negative is background: 0.

    Args:
        features: `(N, h, w, D)`.

    Returns:
        `(N, h, w)` float32, 0 and up.

    Source: Wei et al., "Unsupervised object discovery and co-localization by deep descriptor
    transformation" (Pattern Recognition 2019).
    """
    mean, component = principal_components(features, 1)
    return foreground(project(features, mean, component)[..., 0])


def foreground(maps):
    """Turn maps `(N, h, w)` of either sign until the photos' borders are negative; clip at 0."""
    border = np.concatenate([maps[:, 0], maps[:, -1], maps[:, 1:-1, 0], maps[:, 1:-1, -1]], axis=1)
    return np.maximum(-maps if border.mean() > 0 else maps, 0)


def agreeing_maps(features, guide):
    """Return the first principal component of fine features, of the sign that a coarser map has.

    In a network's earlier features the objects need not be what borders are not.

    Args:
        features: `(N, H, W, D)`.
        guide: `(N, h, w)`, 0 and up, of objects.

    Returns:
        `(N, H, W)` float32, 0 and up.
    """
    maps = project(features, *principal_components(features, 1))[..., 0]
    guide = resize(scaled(guide), maps.shape[1])
    return np.maximum(maps * np.sign(np.sum((maps - maps.mean()) * guide)), 0)


def guided_maps(features, guide, ridge=1e-2):
    """Return what fine features tell of a coarser map, by ridge regression over all positions.

    A position of the coarse map is too wide for an object's edges; the regression finds what is
    common to the fine features of objects, and says where else it is.

    Args:
        features: `(N, H, W, D)`.
        guide: `(N, h, w)`, 0 and up, of objects.
        ridge: share of the features' mean variance that is added to it.

    Returns:
        `(N, H, W)` float32, 0 and up.
    """
    depth = features.shape[-1]
    x = np.reshape(features, (-1, depth)).astype("float32")
    x = x - x.mean(axis=0)
    y = resize(scaled(guide), features.shape[1]).ravel()
    products = x.T @ x
    penalty = (ridge * np.trace(products) / depth + 1e-12) * np.eye(depth)
    weights = np.linalg.solve(products + penalty, x.T @ (y - y.mean()))
    return np.maximum(x @ weights, 0).reshape(features.shape[:3]).astype("float32")


def class_maps(features, labels):
    """Return `common_maps` of each class for itself: what its photos have in common.

    A photo of several classes has the greatest of theirs.

    Args:
        features: `(N, h, w, D)`.
        labels: `(N, C)` of 0 and 1.

    Returns:
        `(N, h, w)` float32, 0 and up.
    """
    maps = np.zeros(features.shape[:3], "float32")
    for of_class in np.asarray(labels).T > 0:
        if of_class.any():
            maps[of_class] = np.maximum(maps[of_class], common_maps(features[of_class]))
    return maps


def norm_maps(norms):
    """Return how far each position's norm is above the mean of its photo.

    An object excites a pretrained network more than what is behind it.

    Args:
        norms: `(N, h, w)`, Euclidean norms of the descriptors.

    Returns:
        `(N, h, w)` float32, 0 and up.

    Source: Wei et al., "Selective Convolutional Descriptor Aggregation for Fine-Grained Image
    Retrieval" (IEEE TIP 2017), SCDA.
    """
    norms = np.asarray(norms, "float32")
    return np.maximum(norms - norms.mean(axis=(1, 2), keepdims=True), 0)


def combine(*maps, grid=GRID):
    """Return the geometric mean of several maps a photo, each scaled to a maximum of 1.

    Args:
        *maps: each `(N, h, w)`, 0 and up, of any size.
        grid: side `G` of the result.

    Returns:
        `(N, G, G)` float32 in [0, 1].
    """
    product = 1.0
    for each in maps:
        product = product * scaled(resize(each, grid))
    return scaled(product ** (1 / len(maps)))


def scaled(maps):
    """Return maps `(N, h, w)` divided by their maxima; an empty map stays empty."""
    return maps / np.maximum(maps.max(axis=(1, 2), keepdims=True), 1e-12)


def resize(maps, size):
    """Resize maps `(N, h, w)` bilinearly to `(N, size, size)`, cell centers half a cell inside."""
    rows, columns = (_weights(length, size) for length in maps.shape[1:])
    return (rows @ np.asarray(maps, "float32")) @ columns.T


def _weights(length, size):
    """Return the matrix `(size, length)` that samples `length` cells at `size` places."""
    places = (np.arange(size) + 0.5) * length / size - 0.5
    distance = np.abs(np.clip(places, 0, length - 1)[:, None] - np.arange(length))
    return np.maximum(1 - distance, 0).astype("float32")


def boxes_of_maps(maps, threshold=THRESHOLD):
    """Box the largest connected region of each map, and tell how sure the map is of it.

    1. Cells above `threshold` of the map's maximum.
    2. Of their regions, connected over edges and corners, the one of most cells → its box.
    3. Confidence: the share of the map's mass inside the box; 1 if nothing is outside of it.

    A map without a maximum, all 0, gives the whole frame and confidence 0.

    Args:
        maps: `(N, h, w)`, 0 and up.
        threshold: share of the maximum, in [0, 1).

    Returns:
        `(boxes, confidence)`: `(N, 4)`, `y0 x0 y1 x1` in [0, 1], and `(N,)`, both float32.

    Raises:
        ValueError: if `threshold` is out of range.
    """
    if not 0 <= threshold < 1:
        raise ValueError(
            "Invalid value for argument `threshold`. Expected 0 <= threshold < 1. "
            f"Received: threshold={threshold}"
        )
    height, width = maps.shape[1:]
    boxes = np.tile(np.array([0, 0, 1, 1], "float32"), (len(maps), 1))
    confidence = np.zeros(len(maps), "float32")
    for i, values in enumerate(maps):
        parts, count = ndimage.label(values > threshold * values.max(), np.ones((3, 3)))
        if not count:
            continue
        largest = np.bincount(parts.ravel())[1:].argmax()
        y, x = place = ndimage.find_objects(parts)[largest]
        boxes[i] = y.start / height, x.start / width, y.stop / height, x.stop / width
        confidence[i] = values[place].sum() / values.sum()
    return boxes, confidence
