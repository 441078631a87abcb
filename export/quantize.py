"""Smaller TFLite files: half-precision and int8, where it does no harm."""

import contextlib
import math
import os
import warnings

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from ai_edge_quantizer import algorithm_manager, calibrator, qtyping, quantizer
from ai_edge_quantizer.utils import qsv_utils

from export import flatbuffer

_OPERATIONS = qtyping.TFLOperationName
_CONVOLUTIONS = ("CONV_2D", "DEPTHWISE_CONV_2D")


def half(content, least=65536):
    """Halve the large weights of a float32 TFLite file.

    Weights of fewer than `least` elements, and all biases, stay float32: first layers, depthwise
    kernels. They are a thirtieth of the file and made most of the error: rounded, they moved boxes
    three times as far.

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


def int8(content, images, stride=4):
    """Quantise a float32 TFLite file to int8 where integers do no harm.

    - The encoder from a stride above `stride` on (convolutions and the additions between them):
      int8 weights, a scale a channel, and int8 activations, with the ranges that `images` span.
      A layer has one range wherever it is called, so that its bias is stored once.
    - The encoder before that: float32. Its channels differ most in range: in int8 they moved boxes
      twice as far, and it is a fiftieth of the weights.
    - Dense layers (classifiers, LSTM): int8 weights, activations quantised as they come.
    - All else (the views, the box's moments, the crop, LSTM states, attention): float32. A box in
      steps of 1/256 would move the crop by two pixels of 448.

    Args:
        content: the file's content, with the signatures of `export.inference.Signatures`.
        images: representative ones, `(1, S, S, 3)` float32 arrays.
        stride: of the feature maps, up to which the encoder stays float32.

    Returns:
        The new file's content. Inputs and outputs stay float32.
    """
    content, layers = _prepare(content, stride)
    smaller = quantizer.Quantizer(content)
    for operation in (_OPERATIONS.CONV_2D, _OPERATIONS.DEPTHWISE_CONV_2D, _OPERATIONS.ADD):
        smaller.add_static_config("/int8/", operation, 8, 8)
    smaller.add_dynamic_config(".*", _OPERATIONS.FULLY_CONNECTED, 8)
    ranges = _ranges(content, images)
    for names in layers:
        _widen([ranges[name] for name in names])
    return _quantized(smaller, ranges)


def _prepare(content, stride):
    """Prepare a float32 file whose signatures and looks share constants for quantisation.

    - Each convolution gets a bias of its own. A quantised bias is in steps of its input's scale
      times the kernel's, so that one kernel on two inputs may need two; the quantiser would let
      the last one win.
    - Tensors are named after their signature, so that each has a range of its own, and those to be
      quantised have `/int8/` in their names.

    Returns:
        The new content, and for each quantised layer, wherever it is called, its outputs' names.
    """
    model = flatbuffer.read(content)
    layers, outputs = {}, {}
    for signature, subgraph in flatbuffer.signatures(model).items():
        known = {}  # tensor → the layer that gives it, and the height of that encoder's input
        for name, operator in flatbuffer.operations(model, subgraph):
            sources = [known.get(index) for index in operator.inputs]
            if name in _CONVOLUTIONS:
                image = subgraph.tensors[operator.inputs[0]]
                before, height = sources[0] or (None, image.shape[1])
                weights = tuple(
                    flatbuffer.constant(model, subgraph.tensors[index])
                    for index in operator.inputs[1:]
                )
                key = (name, before, weights)
                _own_bias(model, subgraph, operator)
            elif name == "ADD" and all(sources):
                height = sources[0][1]
                key = (name, *(source[0] for source in sources))
            else:
                continue
            output = subgraph.tensors[operator.outputs[0]]
            layer = layers.setdefault(key, len(layers))
            known[operator.outputs[0]] = (layer, height)
            if output.shape[1] * stride < height:
                output.name = b"int8/" + output.name
                outputs.setdefault(layer, []).append(f"{signature}/".encode() + output.name)
        for tensor in subgraph.tensors:
            tensor.name = f"{signature}/".encode() + tensor.name
    return flatbuffer.write(model), [
        [name.decode() for name in names] for names in outputs.values()
    ]


def _own_bias(model, subgraph, operator):
    bias = _copy(subgraph.tensors[operator.inputs[2]])
    model.buffers.append(_copy(model.buffers[bias.buffer]))
    bias.buffer = len(model.buffers) - 1
    bias.name += b"/%d" % bias.buffer
    subgraph.tensors.append(bias)
    operator.inputs = [*operator.inputs[:2], len(subgraph.tensors) - 1]


def _copy(table):
    copied = type(table)()
    copied.__dict__.update(table.__dict__)
    return copied


def _ranges(content, images):
    """Measure the range of every activation over `images` → by name, a dict of `min` and `max`."""
    interpreter = Interpreter(model_content=content, num_threads=2)
    examples = {}
    for name in interpreter.get_signature_list():
        examples[name] = [{"images": image} for image in images]
        if name == "focus":
            glance = interpreter.get_signature_runner("glance")
            for example in examples[name]:
                seen = glance(**example)
                example.update(boxes=seen["boxes"], logits=seen["logits"])
    measured = calibrator.Calibrator(
        content,
        num_threads=2,
        mode=calibrator.CalibrationMode.CALIBRATION_PROFILER_BASED,
        qsv_update_func=qsv_utils.min_max_update,
    )
    with _quiet():
        measured.calibrate(examples, None)
    return measured.get_model_qsvs()


def _quantized(smaller, ranges=None):
    with _quiet():
        result = smaller.quantize(ranges, enable_progress_report=False)
    return _compact(bytes(result.quantized_model))


@contextlib.contextmanager
def _quiet():
    """Keep progress bars of a second, and a warning that is for debugging, from the screen."""
    with (
        open(os.devnull, "w") as nowhere,
        contextlib.redirect_stderr(nowhere),
        warnings.catch_warnings(action="ignore"),
    ):
        yield


def _widen(ranges):
    """Give the ranges of one layer's calls the lowest minimum and the highest maximum."""
    low = np.minimum.reduce([each["min"] for each in ranges])
    high = np.maximum.reduce([each["max"] for each in ranges])
    for each in ranges:
        each.update(min=low, max=high)


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
    """Quantisation parameters that all tensors with the same ones share in the file."""

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
