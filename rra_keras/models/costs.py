"""What one photo costs, and how large a model is."""

import keras

from rra_keras.backbones.costs import graph_multiply_adds


def multiply_adds(model):
    """Count the multiply-adds of one photo through the inference graph as it would be exported.

    One fixation is counted, with all its refinements: `model` is rebuilt so, with the crop of the
    export. See `graph_multiply_adds`.

    Args:
        model: a classifier of this package.

    Returns:
        Multiply-adds, an int.
    """
    config = {**model.get_config(), "crop_method": "gather"}
    if model.attention:
        config["max_fixations"] = 1
    return graph_multiply_adds(model.from_config(config), (model.image_size,) * 2)


def parameters(model):
    """Count the model's weights, statistics included."""
    return sum(int(keras.ops.size(weight)) for weight in model.weights)
