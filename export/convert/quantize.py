"""Smaller TFLite files: half-precision and int8, where it does no harm."""

import contextlib
import math
import os
import warnings

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from ai_edge_quantizer import algorithm_manager, qtyping, quantizer

from ..classify import shrink, zoom_crop
from . import flatbuffer

_OPERATIONS = qtyping.TFLOperationName
_CONVOLUTIONS = ("CONV_2D", "DEPTHWISE_CONV_2D")
_BETWEEN = ("ADD", "RELU", "RELU6", "MAX_POOL_2D")  # what may stand between them


def half(content, least=140_000):
    """Halve the large weights of a float32 TFLite file.

    Weights of fewer than `least` elements, and all biases, stay float32: the early layers and the
    localizer, which place the box, and depthwise kernels. They are a fifth of the file and made
    nearly all of the error: rounded, they moved boxes a hundred times as far.

    Args:
        content: the file's content.
        least: elements from which a weight is stored in half precision.

    Returns:
        The new file's content. It computes in the precision that the device prefers.
    """
    model = flatbuffer.read(content)
    for subgraph in model.subgraphs:
        for name, operator in flatbuffer.operations(model, subgraph):
            if name in (*_CONVOLUTIONS, "FULLY_CONNECTED"):
                size = math.prod(subgraph.tensors[operator.inputs[1]].shape)
                output = subgraph.tensors[operator.outputs[0]]
                output.name = (b"large/" if size >= least else b"small/") + output.name
    smaller = quantizer.Quantizer(flatbuffer.write(model))
    weights = qtyping.TensorQuantizationConfig(num_bits=16, dtype=qtyping.TensorDataType.FLOAT)
    smaller.update_quantization_recipe(
        regex="^large/",
        operation_name=_OPERATIONS.ALL_SUPPORTED,
        op_config=qtyping.OpQuantizationConfig(
            weight_tensor_config=weights,
            compute_precision=qtyping.ComputePrecision.FLOAT,
            explicit_dequantize=True,
        ),
        algorithm_key=algorithm_manager.AlgorithmName.FLOAT_CASTING,
    )
    return _quantized(smaller)


def int8(content, images, stride=8):
    """Quantize a float32 TFLite file to int8 where integers do no harm.

    1. Convolutions of the encoder beyond a stride of `stride`, and dense layers (classifiers,
       LSTM): int8 weights, a scale a channel; activations quantized as they come, by their own
       range.
    2. What rounding a kernel adds to its outputs on average is taken off its bias, given its
       inputs' means over `images` (Nagel et al., "Data-Free Quantization Through Weight
       Equalization and Bias Correction", ICCV 2019). It halves what rounding moves the boxes.
    3. All else (first strides, depthwise kernels, the views, the box's moments, the crop, LSTM
       states, attention): float32. Depthwise kernels and first strides are a sixth of the
       file and made half of the error; a box in steps of 1/256 would move the crop by two pixels.

    Args:
        content: the file's content, with the signatures of `export.convert.inference.Signatures`.
        images: representative ones, `(1, S, S, 3)` float32 arrays.
        stride: of the feature maps, up to which the encoder stays float32.

    Returns:
        The new file's content. Inputs and outputs stay float32.
    """
    model = flatbuffer.read(content)
    for subgraph in model.subgraphs:
        for operator, reached in _convolutions(model, subgraph):
            if reached > stride:
                output = subgraph.tensors[operator.outputs[0]]
                output.name = b"int8/" + output.name
    smaller = quantizer.Quantizer(flatbuffer.write(model))
    smaller.add_dynamic_config("^int8/", _OPERATIONS.CONV_2D, 8)
    smaller.add_dynamic_config(".*", _OPERATIONS.FULLY_CONNECTED, 8)
    return _correct_biases(_quantized(smaller), content, _input_means(content, images))


def _convolutions(model, subgraph):
    """Yield each full convolution and the stride of its output in its encoder's input."""
    heights = {}  # tensor → the height of the input of the encoder that gives it
    for name, operator in flatbuffer.operations(model, subgraph):
        known = [heights[index] for index in operator.inputs if index in heights]
        if name in _CONVOLUTIONS:
            height = known[0] if known else subgraph.tensors[operator.inputs[0]].shape[1]
            if name == "CONV_2D":
                yield operator, height / subgraph.tensors[operator.outputs[0]].shape[1]
        elif name in _BETWEEN and known:
            height = known[0]
        else:
            continue
        heights[operator.outputs[0]] = height


def unfused(content):
    """Name the operations behind which convolutions stay float32, as they are not followed.

    Args:
        content: a float32 TFLite file's content.

    Returns:
        A sorted list, empty for a backbone whose activations are ReLU or ReLU6.
    """
    model, found = flatbuffer.read(content), set()
    for subgraph in model.subgraphs:
        behind = {}  # tensor → what it passed since the last convolution
        for name, operator in flatbuffer.operations(model, subgraph):
            output = operator.outputs[0]
            if name in _CONVOLUTIONS:
                found |= behind.get(operator.inputs[0], set())
                behind[output] = set()
                continue
            shape = list(subgraph.tensors[output].shape)
            passed = [
                behind[index]
                for index in operator.inputs
                if index in behind and list(subgraph.tensors[index].shape) == shape
            ]
            if passed and len(shape) == 4:  # element by element, as activations are
                behind[output] = set().union(*passed) | ({name} - set(_BETWEEN))
    return sorted(found)


def _input_means(content, images):
    """Return the mean of each input channel of each convolution over `images`, by its kernel."""
    model = flatbuffer.read(content)
    interpreter = inspectable(content)
    inputs = {}  # kernel → the subgraph and the tensor of each of its inputs
    for place, subgraph in enumerate(model.subgraphs):
        for operator, _ in _convolutions(model, subgraph):
            kernel = flatbuffer.constant(model, subgraph.tensors[operator.inputs[1]])
            inputs.setdefault(kernel, []).append((place, operator.inputs[0]))
    sums = dict.fromkeys(inputs, 0.0)
    for image in images:
        _run_all(interpreter, image)
        for kernel, tensors in inputs.items():
            for place, tensor in tensors:
                mean = interpreter.get_tensor(tensor, place).mean(axis=(0, 1, 2))  # (in,)
                sums[kernel] = sums[kernel] + mean / (len(tensors) * len(images))
    return sums


def _run_all(interpreter, image):
    """Run every signature on an image `(1, S, S, 3)`: the first fixation, and one closer view."""
    signatures = interpreter.get_signature_list()
    runners = {name: interpreter.get_signature_runner(name) for name in signatures}
    sizes = {
        name: runner.get_input_details()["crop"]["shape"][1:3]
        for name, runner in runners.items()
        if name != "full"
    }
    runners["full"](images=image)
    if sizes:
        seen = runners["glance"](crop=shrink(image[0], sizes["glance"])[None])
        runners["read"](crop=zoom_crop(image[0], seen["box"][0, 0], sizes["read"])[None])
    if "refine" in sizes:
        view = seen["view"][:, 0]
        runners["refine"](crop=zoom_crop(image[0], view[0], sizes["refine"])[None], view=view)


def inspectable(content):
    """Return an `Interpreter` of a file's content that keeps every tensor after a run."""
    with warnings.catch_warnings(action="ignore"):  # of the memory that it takes
        return Interpreter(
            model_content=content, num_threads=2, experimental_preserve_all_tensors=True
        )


def _correct_biases(content, original, means):
    """Take off each bias what rounding its kernel adds to the outputs on average.

    Args:
        content: a quantized file's content.
        original: the float32 file's.
        means: of each convolution's input channels, by its float32 kernel.
    """
    model, source = flatbuffer.read(content), flatbuffer.read(original)
    for subgraph, twin in zip(model.subgraphs, source.subgraphs, strict=True):
        pairs = zip(_convolutions(model, subgraph), _convolutions(source, twin), strict=True)
        for (operator, _), (before, _) in pairs:
            kernel = subgraph.tensors[operator.inputs[1]]
            if kernel.type != schema.TensorType.INT8:
                continue
            exact = flatbuffer.constant(source, twin.tensors[before.inputs[1]])
            rounded = np.frombuffer(flatbuffer.constant(model, kernel), "int8")
            scale = np.reshape(kernel.quantization.scale, (-1, 1, 1, 1))
            error = rounded.reshape(kernel.shape) * scale  # (out, h, w, in)
            error = error - np.frombuffer(exact, "float32").reshape(kernel.shape)
            bias = np.frombuffer(
                flatbuffer.constant(model, subgraph.tensors[operator.inputs[2]]), "float32"
            )
            _own_bias(model, subgraph, operator, bias - error.sum(axis=(1, 2)) @ means[exact])
    return _compact(flatbuffer.write(model))


def _own_bias(model, subgraph, operator, values):
    """Give a convolution a bias that it shares with no other."""
    bias = _copy(subgraph.tensors[operator.inputs[2]])
    model.buffers.append(_copy(model.buffers[bias.buffer]))
    model.buffers[-1].data = np.frombuffer(values.astype("float32").tobytes(), "uint8")
    bias.buffer = len(model.buffers) - 1
    subgraph.tensors.append(bias)
    operator.inputs = [*operator.inputs[:2], len(subgraph.tensors) - 1]


def _copy(table):
    copied = type(table)()
    copied.__dict__.update(table.__dict__)
    return copied


def _quantized(smaller):
    # Progress bars of a second, and a warning that is for debugging, stay off the screen.
    with (
        open(os.devnull, "w") as nowhere,
        contextlib.redirect_stderr(nowhere),
        warnings.catch_warnings(action="ignore"),
    ):
        result = smaller.quantize(None, enable_progress_report=False)
    return _compact(bytes(result.quantized_model))


def _compact(content):
    """Shrink a file: what is equal is stored once, what no runtime reads is left out."""
    model = flatbuffer.read(content)
    kept, tables, read = {}, {}, set()
    for subgraph in model.subgraphs:
        named = {*subgraph.inputs, *subgraph.outputs}
        used = named.union(*(operator.inputs for operator in subgraph.operators))
        for index, tensor in enumerate(subgraph.tensors):
            data = flatbuffer.constant(model, tensor)
            if data:
                tensor.buffer = kept.setdefault(data, tensor.buffer)
            if index in used:
                read.add(tensor.buffer)
            if index not in named:
                tensor.name = b""
            tensor.quantization = _shared(tensor.quantization, tables)
    for index, buffer in enumerate(model.buffers):
        if index not in read:
            buffer.data = None
    return flatbuffer.write(model)


def _shared(quantization, tables):
    if quantization is None or quantization.scale is None:
        return None
    vectors = tuple(np.asarray(v).tobytes() for v in (quantization.scale, quantization.zeroPoint))
    key = (*vectors, quantization.quantizedDimension)
    return tables.setdefault(key, _PackedOnce(quantization, tables))


class _PackedOnce:
    """Quantization parameters that all tensors with the same ones share in the file."""

    def __init__(self, parameters, tables):
        self._parameters = parameters
        self._tables = tables  # zero points, which are mostly zeros, by their content
        self._offset = None

    def Pack(self, builder):  # noqa: N802, as the generated code calls it
        if self._offset is None:
            zeros = np.asarray(self._parameters.zeroPoint, "int64")
            if zeros.tobytes() not in self._tables:
                self._tables[zeros.tobytes()] = builder.CreateNumpyVector(zeros)
            scales = builder.CreateNumpyVector(np.asarray(self._parameters.scale, "float32"))
            schema.QuantizationParametersStart(builder)
            schema.QuantizationParametersAddScale(builder, scales)
            schema.QuantizationParametersAddZeroPoint(builder, self._tables[zeros.tobytes()])
            schema.QuantizationParametersAddQuantizedDimension(
                builder, self._parameters.quantizedDimension
            )
            self._offset = schema.QuantizationParametersEnd(builder)
        return self._offset
