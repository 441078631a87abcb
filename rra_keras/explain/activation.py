"""Where the object is, whatever its class: what excites the backbone."""

import numpy as np

from rra_keras.layers.evidence import activation_map
from rra_keras.measures.maps import WHOLE


def activations(model, images, boxes):
    """Return what excites the crops' encoder in the whole of images and in boxes in them.

    Evidence for a class (Grad-CAM) marks the parts that tell, and ends before the object does.
    This map knows no class; see `activation_map`. The whole image is seen as the crops are, at
    their size: what looking closer adds shows in the difference.

    Args:
        model: an `RRAClassifier` with one look or more.
        images: `(B, S, S, 3)`, RGB 0…255.
        boxes: `(B, K, 4)`, `y0 x0 y1 x1` in [0, 1].

    Returns:
        `(B, 1 + K, h, w)` float32: the whole image's map, then each box's.
    """
    images, boxes = np.asarray(images, "float32"), np.asarray(boxes, "float32")
    maps = []
    for box in (np.tile(WHOLE, (len(images), 1)), *boxes.swapaxes(0, 1)):
        crops = np.asarray(model.zoom_crop([images, box]))
        features, fine_features = model.crop_encoder.predict_on_batch(crops)[:2]
        maps.append(np.asarray(activation_map(features, fine_features), "float32"))
    return np.stack(maps, axis=1)
