"""Maps of where something speaks: for a class, or whatever the class."""

from keras import ops


def class_activation_map(scores):
    """Return the evidence at each position for the classes that the whole map believes in.

    The class scores at each position are weighted by the softmax of their mean over positions,
    i.e. of the logits: a class-activation map (Zhou et al., CVPR 2016) of the soft prediction. One
    matrix product, with no argmax to flip on a near-tie.

    Args:
        scores: `(B, h, w, C)`, class scores at each position.

    Returns:
        `(B, h, w)`.
    """
    height, width, classes = scores.shape[1:]
    probabilities = ops.softmax(ops.mean(scores, axis=(1, 2)))  # (B, C)
    evidence = ops.matmul(
        ops.reshape(scores, (-1, height * width, classes)), ops.expand_dims(probabilities, -1)
    )  # (B, h·w, 1)
    return ops.reshape(evidence, (-1, height, width))


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
