"""What one photo costs, counted from the graph."""

import math

import keras

# By backend, what is counted and what stands for products that are not.
_TF_COUNTED = ("Conv2D", "DepthwiseConv2dNative", "MatMul", "BatchMatMulV2")
_TF_UNCOUNTED = ("Conv2DBackpropInput", "Conv3D", "Einsum", "While", "StatelessWhile")
_JAX_UNCOUNTED = ("scan", "while", "cond", "ragged_dot_general")


def graph_multiply_adds(model, size):
    """Count the convolutions and matrix products of a model's graph, for a batch of one.

    Not counted are products of one element by another: batch norms, resizing, and the crop's
    interpolation, two products for each value of a picture. TensorFlow and JAX give one number.

    Args:
        model: a `keras.Model` from images `(B, H, W, 3)`.
        size: `(H, W)` in pixels.

    Raises:
        NotImplementedError: if the graph holds a product that is not counted here, or under another
            backend.
    """
    backends = {"tensorflow": _in_tensorflow, "jax": _in_jax}
    if keras.config.backend() not in backends:
        raise NotImplementedError(
            f"Cannot count multiply-adds under the backend {keras.config.backend()!r}. Expected "
            f"one of {sorted(backends)}."
        )
    count = backends[keras.config.backend()]
    return count(lambda images: model(images, training=False), (1, *size, 3))


def _in_tensorflow(forward, shape):
    """Count a function of one float32 array of `shape`, traced by TensorFlow."""
    import tensorflow as tf

    graph = tf.function(forward).get_concrete_function(tf.TensorSpec(shape, tf.float32)).graph
    return sum(_of_operation(operation) for operation in graph.get_operations())


def _of_operation(operation):
    """Count one operation of a traced graph: the products summed into each output, by outputs."""
    if operation.type in _TF_UNCOUNTED:
        raise NotImplementedError(f"Cannot count the multiply-adds of {operation.type}.")
    if operation.type not in _TF_COUNTED:
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


def _in_jax(forward, shape):
    """Count a function of one float32 array of `shape`, traced by JAX."""
    import jax

    traced = jax.make_jaxpr(forward)(jax.ShapeDtypeStruct(shape, "float32"))
    return sum(_of_equation(equation) for equation in traced.eqns)


def _of_equation(equation):
    """Count one equation as `_of_operation` does, or those of the function that it calls."""
    kind, options = equation.primitive.name, equation.params
    if kind in _JAX_UNCOUNTED:
        raise NotImplementedError(f"Cannot count the multiply-adds of {kind}.")
    if options.get("name") == "_resize":  # two matrix products under JAX, interpolation here
        return 0
    inner = options.get("jaxpr", options.get("call_jaxpr"))
    if inner is not None:
        return sum(_of_equation(called) for called in inner.eqns)
    if kind == "conv_general_dilated":
        right = equation.invars[1].aval.shape
        products = math.prod(right) // right[options["dimension_numbers"].rhs_spec[0]]
    elif kind == "dot_general":
        left = equation.invars[0].aval.shape
        (contracted, _), _ = options["dimension_numbers"]
        products = math.prod(left[axis] for axis in contracted)
    else:
        return 0
    return equation.outvars[0].aval.size * products
