"""Maps of where something speaks for a class, or between classes."""

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
    return _expected(scores, _probabilities(scores))


def _probabilities(scores):
    return ops.softmax(ops.mean(scores, axis=(1, 2)))  # (B, C)


def _expected(values, probabilities):
    """Return the mean over the classes of `(B, h, w, C)`, weighted by `(B, C)`: `(B, h, w)`."""
    height, width, classes = values.shape[1:]
    mean = ops.matmul(
        ops.reshape(values, (-1, height * width, classes)), ops.expand_dims(probabilities, -1)
    )  # (B, h·w, 1)
    return ops.reshape(mean, (-1, height, width))


def disagreement_map(scores):
    """Return how much the classes that are still in question differ at each position.

    1. The probability of each class by the whole map: softmax of the scores' mean over positions.
    2. At each position, the variance of the scores under these probabilities: nothing where all
       that is likely has the same score, much where one likely class has what another lacks.

    A class-activation map marks all that the first class is known by, which its neighbors may
    share; this one, what would tell them apart.

    Args:
        scores: `(B, h, w, C)`, class scores at each position.

    Returns:
        `(B, h, w)`, at least 0.
    """
    mean = class_activation_map(scores)  # under the same probabilities
    return _expected(ops.square(scores - ops.expand_dims(mean, -1)), _probabilities(scores))
