"""TFLite files as data: what is in them."""

import collections
import math

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

_IDENTIFIER = b"TFL3"
_NAMES = {code: name for name, code in vars(schema.BuiltinOperator).items() if name.isupper()}


def read(content):
    """Parse a TFLite file's content → `ModelT`, the data of every buffer inside it."""
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    for buffer in model.buffers:
        if buffer.offset > 1:  # large data may follow the flatbuffer instead
            data = content[buffer.offset : buffer.offset + buffer.size]
            buffer.data, buffer.offset, buffer.size = np.frombuffer(data, "uint8"), 0, 0
    return model


def write(model):
    """Return a `ModelT` as a TFLite file's content."""
    builder = flatbuffers.Builder(1 << 20)
    builder.Finish(model.Pack(builder), file_identifier=_IDENTIFIER)
    return bytes(builder.Output())


def operations(model, subgraph):
    """Yield `(name, operator)` for each operator; custom ones are named `custom:NAME`."""
    for operator in subgraph.operators:
        code = model.operatorCodes[operator.opcodeIndex]
        # Codes from 127 on are only in the newer field.
        name = _NAMES[max(code.builtinCode, code.deprecatedBuiltinCode)]
        yield f"custom:{code.customCode.decode()}" if name == "CUSTOM" else name, operator


def signatures(model):
    """Return the subgraph of each signature by its name."""
    return {
        signature.signatureKey.decode(): model.subgraphs[signature.subgraphIndex]
        for signature in model.signatureDefs
    }


def histogram(model):
    """Count the operators of each signature → a dict of dicts, the most frequent first."""
    counts = {
        signature: collections.Counter(name for name, _ in operations(model, subgraph))
        for signature, subgraph in signatures(model).items()
    }
    return {signature: dict(counter.most_common()) for signature, counter in counts.items()}


def multiply_adds(model):
    """Count the multiply-adds of each signature: convolutions and matrix products, as stored."""
    return {
        signature: sum(_multiply_adds(*each, subgraph) for each in operations(model, subgraph))
        for signature, subgraph in signatures(model).items()
    }


def _multiply_adds(name, operator, subgraph):
    def shape(index):
        return [int(size) for size in subgraph.tensors[index].shape]

    outputs = math.prod(shape(operator.outputs[0]))
    if name == "CONV_2D":
        return outputs * math.prod(shape(operator.inputs[1])[1:])  # (out, h, w, in)
    if name == "DEPTHWISE_CONV_2D":
        return outputs * math.prod(shape(operator.inputs[1])[1:3])  # (1, h, w, out)
    if name == "FULLY_CONNECTED":
        return outputs * shape(operator.inputs[1])[-1]  # (out, in)
    if name == "BATCH_MATMUL":
        return outputs * shape(operator.inputs[0])[-2 if operator.builtinOptions.adjX else -1]
    return 0


def constant(model, tensor):
    """Return the bytes of a tensor that is stored in the file, `None` for any other."""
    data = model.buffers[tensor.buffer].data
    return None if data is None else bytes(data)


def arithmetic(model, signature="full"):
    """Count a signature's operators by what they compute in → a dict of dicts.

    `int8`: weights and activations; `int8 weights`: activations quantized as they come; `float32`:
    the rest, in whatever float the device prefers.
    """
    counts = {kind: collections.Counter() for kind in ("int8", "int8 weights", "float32")}
    subgraph = signatures(model)[signature]
    for name, operator in operations(model, subgraph):
        types = [subgraph.tensors[index].type for index in (*operator.inputs, *operator.outputs)]
        if types[-1] == types[0] == schema.TensorType.INT8:
            counts["int8"][name] += 1
        elif schema.TensorType.INT8 in types[1:-1]:
            counts["int8 weights"][name] += 1
        else:
            counts["float32"][name] += 1
    return {kind: dict(counter.most_common()) for kind, counter in counts.items() if counter}
