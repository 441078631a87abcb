"""Find the object in a photo: glance at it, look inside the box, once more."""

import keras
from keras import ops

from rra_keras.layers.boxes import box_in_box, grow_box
from rra_keras.layers.zoom_crop import ZoomCrop

MARGIN = 0.5  # of a box's sides, added before looking inside it


def make_locator(localizer, trunk, image_size, size, looks=1, margin=MARGIN, shrink=1):
    """Build a model from photos to the object's boxes, each refined by a look inside the last.

    1. The whole photo, shrunk to `size` → trunk → localizer → box.
    2. For each look: the box, grown by `margin`, is cut out at `size` → the same trunk and the same
       localizer → a box inside it, in the photo's frame.

    Args:
        localizer: a layer from features `(B, h, w, D)` to boxes `(B, 4)`.
        trunk: a `keras.Model` from images `(B, size, size, 3)`, 0…255, to features.
        image_size: side `S` of the photos, pixels.
        size: side of what the trunk sees, pixels.
        looks: looks after the first glance.
        margin: share of a box's sides to add before looking inside.
        shrink: see `make_viewer`.

    Returns:
        A functional `keras.Model` from `(B, S, S, 3)` to boxes `(B, 1 + looks, 4)` in [0, 1].
    """
    images = keras.Input((image_size, image_size, 3), name="images")
    x = keras.layers.AveragePooling2D(shrink)(images) if shrink > 1 else images
    zoom = ZoomCrop(size)
    zeros = ops.zeros_like(ops.mean(images, axis=(1, 2)))[:, :1]  # (B, 1)
    view = zeros + ops.convert_to_tensor([[0.0, 0.0, 1.0, 1.0]])  # (B, 4)
    boxes = []
    for _ in range(1 + looks):
        inside = localizer(trunk(zoom([x, view])))
        boxes.append(ops.clip(box_in_box(view, inside), 0.0, 1.0))
        view = grow_box(boxes[-1], margin)
    return keras.Model(images, ops.stack(boxes, axis=1))
