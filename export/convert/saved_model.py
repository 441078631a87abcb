"""Write a SavedModel."""

import keras
import tensorflow as tf


def write(signatures, directory, endpoints, batch_size=None):
    """Write a SavedModel whose inputs and outputs are named.

    Args:
        signatures: `Signatures`.
        directory: where to write.
        endpoints: names in the SavedModel → names of signatures.
        batch_size: `None` for any.
    """
    archive = keras.export.ExportArchive()
    archive.track(signatures.model)
    for endpoint, name in endpoints.items():
        specs = [
            tf.TensorSpec((batch_size, *shape), tf.float32, name=argument)
            for argument, shape in signatures.inputs[name].items()
        ]
        archive.add_endpoint(endpoint, getattr(signatures, name), input_signature=specs)
    archive.write_out(str(directory), verbose=False)
