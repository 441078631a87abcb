"""What one image costs, counted from the graph."""

import math

import keras

_COUNTED = ("Conv2D", "DepthwiseConv2dNative", "MatMul", "BatchMatMulV2")
_UNCOUNTED = ("Conv2DBackpropInput", "Conv3D", "Einsum", "While", "StatelessWhile")


def multiply_adds(model):
    """Count the multiply-adds of one image through the inference graph as it would be exported.

    The model is rebuilt with the crop of the export, traced for a batch of one, and the
    convolutions and matrix products in the trace are counted, LSTM and all. Not counted are
    products of one element by another: batch norms, resizing, and the crop's interpolation, two
    products for each value of a picture. Needs TensorFlow.

    Args:
        model: an `RRAClassifier`.

    Returns:
        Multiply-adds, an int.

    Raises:
        NotImplementedError: if the graph holds a product that is not counted here.
    """
    import tensorflow as tf

    exported = model.from_config({**model.get_config(), "crop_method": "gather"})
    side = model.image_size
    forward = tf.function(lambda images: exported(images, training=False))
    graph = forward.get_concrete_function(tf.TensorSpec((1, side, side, 3), tf.float32)).graph
    return sum(_multiply_adds(operation) for operation in graph.get_operations())


def _multiply_adds(operation):
    """Count one operation of a traced graph: the products summed into each output, by outputs."""
    if operation.type in _UNCOUNTED:
        raise NotImplementedError(f"Cannot count the multiply-adds of {operation.type}.")
    if operation.type not in _COUNTED:
        return 0
    left, right = (tensor.shape for tensor in operation.inputs)
    if operation.type == "Conv2D":
        products = math.prod(right[:3])  # kernel (h, w, channels in a group, filters)
    elif operation.type == "DepthwiseConv2dNative":
        products = math.prod(right[:2])
    else:
        transposed = operation.get_attr("adj_x" if "Batch" in operation.type else "transpose_a")
        products = left[-2 if transposed else -1]
    return operation.outputs[0].shape.num_elements() * products


def parameters(model):
    """Count the model's weights, statistics included."""
    return sum(int(keras.ops.size(weight)) for weight in model.weights)
