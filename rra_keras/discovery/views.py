"""Photos seen through boxes, by a model that is not trained."""

import keras
import numpy as np
from keras import ops
from tqdm import tqdm

from rra_keras.layers.zoom_crop import ZoomCrop
from rra_keras.measures.photos import filled


def relative_boxes(boxes, views):
    """Return boxes `(…, 4)` as fractions of their views `(…, 4)`: `box_in_box` undone."""
    origin = np.concatenate([views[..., :2]] * 2, axis=-1)
    sides = np.concatenate([views[..., 2:] - views[..., :2]] * 2, axis=-1)
    return ((boxes - origin) / np.maximum(sides, 1e-6)).astype("float32")


def make_viewer(model, photos, count, size, pool=False):
    """Build a model from photos and boxes to what `model` sees of them there.

    Args:
        model: a `keras.Model` from images `(B, size, size, 3)` to a feature map, or to a list that
            starts with one.
        photos: `(N, S, S, 3)`, 0…255, of the size and type that are going to be seen.
        count: views of each photo, `V`.
        size: side of the views, pixels.
        pool: average the features over positions.

    Returns:
        A functional `keras.Model` from `[(B, S, S, 3), (B, V, 4)]` to features `(B · V, h, w, D)`,
        or `(B · V, D)` with `pool`; the views of one photo are B rows apart.
    """
    images = keras.Input(photos.shape[1:], dtype=str(photos.dtype), name="images")
    views = keras.Input((count, 4), name="views")
    zoom = ZoomCrop(size)
    crops = [zoom([images, box]) for box in ops.unstack(views, count, axis=1)]
    features = model(ops.concatenate(crops) if count > 1 else crops[0])
    features = features[0] if isinstance(features, (list, tuple)) else features
    if pool:
        features = ops.mean(features, axis=(1, 2))
    return keras.Model([images, views], features)


def see(viewer, photos, views, batch_size=16, description="Looking"):
    """Run a viewer over photos, behind a progress bar.

    Args:
        viewer: a model that `make_viewer` returned, of `V` views.
        photos: `(N, S, S, 3)`, 0…255; memory-mapped arrays do.
        views: `(N, V, 4)`, `y0 x0 y1 x1` in [0, 1]; `x1 < x0` mirrors.
        batch_size: photos at a time.
        description: what the progress bar says.

    Returns:
        Float16 `(N, V, h, w, D)`, or `(N, V, D)` if the viewer pools.
    """
    views = np.asarray(views, "float32")
    count = views.shape[1]
    seen = np.empty((len(photos), count, *viewer.output_shape[1:]), "float16")
    with tqdm(total=len(photos), desc=description, unit="photo", disable=None) as bar:
        for start in range(0, len(photos), batch_size):
            rows = slice(start, start + batch_size)
            inputs = [filled(photos[rows], batch_size), filled(views[rows], batch_size)]
            features = np.asarray(viewer.predict_on_batch(inputs))
            features = features.reshape(count, batch_size, *features.shape[1:]).swapaxes(0, 1)
            seen[rows] = features[: len(views[rows])]
            bar.update(len(views[rows]))
    return seen
