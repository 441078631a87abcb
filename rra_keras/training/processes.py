"""Several machines that share each batch, one process for each device (JAX)."""

import contextlib
import os
import re
import sys
import threading

import keras

_HEARTBEAT = 60  # seconds without a sign of life after which a process counts as lost


class LostProcessError(Exception):
    """Another process of the training has ended."""


def join(coordinator, num_processes, process_id, timeout=300):
    """Meet the other processes of a training, and share every batch with them from here on.

    Each process runs the same command with its own `process_id`, and has one device. The one with 0
    writes the run directory; all read it.

    Args:
        coordinator: `host:port` where process 0 listens.
        num_processes: how many there are.
        process_id: this one's number, from 0.
        timeout: seconds to wait for the others; after them this process ends with status 2.

    Raises:
        ValueError: if the backend is not JAX, the address cannot be one, or there are more devices.
    """
    if not re.fullmatch(r"[^\s:]+:\d{1,5}", coordinator):  # JAX crashes on some that are none
        raise ValueError(
            "Invalid value for `--coordinator`. Expected the address of process 0 as HOST:PORT. "
            f"Received: {coordinator!r}"
        )
    if keras.config.backend() != "jax":
        raise ValueError(
            "Invalid value for `--coordinator`. Expected the backend 'jax' for several processes: "
            f"set KERAS_BACKEND=jax. Received: {keras.config.backend()!r}"
        )
    import jax

    def give_up():
        missing = "the others" if process_id == 0 else f"process 0 at {coordinator}"
        leave(2, f"error: waited {timeout} s for {missing}, in vain")

    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    # JAX itself would abort, with a stack trace and no word of who is missing.
    timer = threading.Timer(timeout, give_up)
    timer.start()
    jax.distributed.initialize(
        coordinator,
        num_processes,
        process_id,
        initialization_timeout=timeout + 60,
        heartbeat_timeout_seconds=_HEARTBEAT,
    )
    timer.cancel()
    if jax.local_device_count() > 1:
        raise ValueError(
            "Expected one device for each process: set CUDA_VISIBLE_DEVICES or the like. "
            f"Received: {jax.local_device_count()}"
        )
    keras.distribution.set_distribution(keras.distribution.DataParallel(auto_shard_dataset=False))


def number_and_count():
    """Return this process' number among those that share a training, and how many they are."""
    if keras.config.backend() != "jax" or keras.distribution.distribution() is None:
        return 0, 1
    import jax

    return jax.process_index(), jax.process_count()


def meet(name):
    """Wait until all processes have come to the place `name`."""
    if number_and_count()[1] > 1:
        from jax.experimental import multihost_utils

        multihost_utils.sync_global_devices(name)


def part():
    """Part from the other processes: what follows is each one's own. Waits for all of them."""
    if number_and_count()[1] > 1:
        import jax

        jax.distributed.shutdown()
        keras.distribution.set_distribution(None)


@contextlib.contextmanager
def losses_told():
    """Raise `LostProcessError` for what JAX raises when another process has ended."""
    try:
        yield
    except Exception as error:
        if number_and_count()[1] > 1 and type(error).__name__ == "JaxRuntimeError":
            raise LostProcessError(str(error).splitlines()[0]) from error
        raise


def leave(status, message=None):
    """End this process at once, as JAX would wait for the others at an ordinary end."""
    if message:
        print(message, file=sys.stderr, flush=True)
    sys.stdout.flush()
    os._exit(status)
