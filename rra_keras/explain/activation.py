"""Where the object is, whatever its class: what excites the backbone."""

import numpy as np
from keras import ops

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


def activation_map(features, fine_features):
    """Return how strongly each position responds, at two depths of the network at once.

    An object excites a pretrained backbone more than what is behind it, whatever its class (SCDA:
    Wei et al., "Selective Convolutional Descriptor Aggregation for Fine-Grained Image Retrieval",
    IEEE TIP 2017). The last map knows objects best but is coarse; a finer one has sharper edges.

    1. A position's response: the root mean square of its features, above the map's mean.
    2. The geometric mean of both maps' responses, the coarse one resized to the finer one's size.

    Args:
        features: `(B, h, w, D)`.
        fine_features: `(B, H, W, D')`.

    Returns:
        `(B, H, W)`.
    """
    coarse = ops.expand_dims(_response(features), -1)  # (B, h, w, 1)
    coarse = ops.squeeze(ops.image.resize(coarse, fine_features.shape[1:3]), -1)  # (B, H, W)
    return ops.sqrt(coarse * _response(fine_features) + 1e-8)  # the root's slope stays finite at 0


def _response(features):
    strength = ops.sqrt(ops.mean(ops.square(features), axis=-1) + 1e-8)  # (B, h, w)
    return ops.relu(strength - ops.mean(strength, axis=(1, 2), keepdims=True))
