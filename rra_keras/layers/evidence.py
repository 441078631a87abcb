"""A map of where something speaks for a class."""

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
    flat = ops.reshape(scores, (-1, height * width, classes))
    expected = ops.matmul(flat, ops.expand_dims(probabilities, -1))  # (B, h·w, 1)
    return ops.reshape(expected, (-1, height, width))
