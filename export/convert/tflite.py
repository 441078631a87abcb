"""Write TFLite files: float32, half-precision and int8, builtins only, a batch of one."""

import io
import json
import tempfile
import zipfile
import zlib

import tensorflow as tf

from . import quantize, saved_model

PRECISIONS = ("fp32", "fp16", "int8")


def convert(signatures, precisions=PRECISIONS, images=()):
    """Convert a model to TFLite files, each with every signature over the same weights.

    Args:
        signatures: `Signatures` of a model whose crop is `"gather"`.
        precisions: some of `PRECISIONS`; see `export.convert.quantize` for the smaller ones.
        images: representative ones for int8, `(1, S, S, 3)` float32 arrays.

    Returns:
        The files' content by precision, as `bytes`.

    Raises:
        ValueError: if the model holds an op that TFLite has no builtin for.
    """
    # Through a SavedModel: a model hung on a bare `tf.Module` would come out without its weights.
    with tempfile.TemporaryDirectory() as folder:
        saved_model.write(signatures, folder, {name: name for name in signatures.inputs}, 1)
        converter = tf.lite.TFLiteConverter.from_saved_model(
            folder, signature_keys=list(signatures.inputs)
        )
        try:
            content = converter.convert()
        except Exception as error:  # the converter's own class is no public name
            reason = next(filter(None, str(error).splitlines()), "")
            raise ValueError(
                f"Expected a model made of ops that TFLite has builtins for. Received: {reason}"
            ) from error
    files = {"fp32": lambda: content, "fp16": lambda: quantize.half(content)}
    files["int8"] = lambda: quantize.int8(content, images)
    return {precision: files[precision]() for precision in precisions}


def attach(content, labels, metadata):
    """Append labels and metadata to a TFLite file, so that one file is the whole model.

    A ZIP with `labels.txt` and `metadata.json`, uncompressed, follows the model, as in the TFLite
    metadata convention; runtimes read past it. `export/classify.py` reads it.

    Args:
        content: the file's content.
        labels: class names in the order of the logits.
        metadata: a dict; the model's own length and checksum are added.
    """
    metadata = {**metadata, "bytes": len(content), "crc32": zlib.crc32(content)}
    file = io.BytesIO(content)
    with zipfile.ZipFile(file, "a", zipfile.ZIP_STORED) as appended:
        for name, text in (
            ("labels.txt", "".join(f"{label}\n" for label in labels)),
            ("metadata.json", json.dumps(metadata)),
        ):
            appended.writestr(zipfile.ZipInfo(name), text.encode())  # the same at any time of day
    return file.getvalue()
