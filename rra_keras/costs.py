"""What one image costs, counted from the graph."""

import keras

_COUNTED = ("Conv2D", "DepthwiseConv2dNative", "MatMul", "BatchMatMulV2")


def multiply_adds(model):
    """Count the multiply-adds of one image through the inference graph as it would be exported.

    The model is rebuilt with the matrix form of the crop, traced for a batch of one, and the
    convolutions and matrix products in the trace are counted: crop, LSTM and all. Needs TensorFlow.

    Args:
        model: an `RRAClassifier`.

    Returns:
        Multiply-adds, an int.
    """
    import tensorflow as tf

    exported = model.from_config({**model.get_config(), "crop_method": "matmul"})
    side = model.image_size
    forward = tf.function(lambda images: exported(images, training=False))
    graph = forward.get_concrete_function(tf.TensorSpec((1, side, side, 3), tf.float32)).graph
    uncounted = {op.type for op in graph.get_operations()} & {"Einsum", "Conv3D", "While"}
    if uncounted:
        raise NotImplementedError(f"Cannot count the multiply-adds of {sorted(uncounted)}.")
    builder = tf.compat.v1.profiler.ProfileOptionBuilder
    options = (
        builder(builder.float_operation())
        .with_accounted_types([f"^{op}$" for op in _COUNTED])
        .with_empty_output()
        .build()
    )
    profile = tf.compat.v1.profiler.profile(graph, cmd="op", options=options)
    return profile.total_float_ops // 2


def parameters(model):
    """Count the model's weights, statistics included."""
    return sum(int(keras.ops.size(weight)) for weight in model.weights)
