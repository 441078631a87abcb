"""Several devices of one machine that share each batch (TensorFlow)."""

import contextlib

import keras


def mirrored(count):
    """Return a strategy that gives each of several devices its share of every batch.

    Args:
        count: GPUs to use, or CPU devices where there is no GPU.

    Returns:
        A `tf.distribute.MirroredStrategy`, or `None` for one device.

    Raises:
        ValueError: if there are fewer devices, or the backend is another.
    """
    if count == 1:
        return None
    if keras.config.backend() != "tensorflow":
        raise ValueError(
            "Invalid value for `--devices`. Expected 1 under another backend than TensorFlow; "
            f"there, start one process for each device. Received: {count}"
        )
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if gpus and count > len(gpus):
        raise ValueError(
            f"Invalid value for `--devices`. Expected at most {len(gpus)}, the GPUs of this "
            f"machine. Received: {count}"
        )
    if not gpus:
        (cpu,) = tf.config.list_physical_devices("CPU")
        parts = [tf.config.LogicalDeviceConfiguration()] * count
        tf.config.set_logical_device_configuration(cpu, parts)
    kind = "GPU" if gpus else "CPU"
    return tf.distribute.MirroredStrategy([f"{kind}:{i}" for i in range(count)])


def scope(model):
    """Return the context to add layers to a model in: its strategy's, where it has one."""
    strategy = getattr(model, "distribute_strategy", None)
    return strategy.scope() if strategy else contextlib.nullcontext()


def synchronize(model):
    """Let the batch norms of a model see the whole batch, wherever its parts are."""
    for layer in leaves(model):
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.synchronized = True


def leaves(layer):
    """Return the layers that a model is made of, in order; a layer alone for a layer."""
    if not isinstance(layer, keras.Model):
        return [layer]
    return [leaf for inner in layer.layers for leaf in leaves(inner)]
