"""Several machines that share each batch, one process for each device (JAX)."""

import contextlib
import os
import re
import sys
import threading
import time

import keras

HEARTBEAT = 60  # seconds without a sign of life after which a process counts as lost


class LostProcessError(Exception):
    """Another process of the training has ended."""


def join(coordinator, num_processes, process_id, timeout=300, heartbeat=HEARTBEAT):
    """Join the other processes of a training, and share every batch with them from here on.

    Each process runs the same command with its own `process_id`, and has one device. Process 0
    writes the run directory; all processes read it.

    Args:
        coordinator: `host:port` where process 0 listens.
        num_processes: the number of processes.
        process_id: the number of this process, from 0.
        timeout: seconds to wait for the others; after that this process exits with status 2.
        heartbeat: seconds without a sign of life after which a process counts as lost.

    Raises:
        ValueError: if the backend is not JAX, if `coordinator` is not an address, or if this
            process has more than one device.
    """
    if not re.fullmatch(r"[^\s:]+:\d{1,5}", coordinator):  # JAX crashes on some other strings
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
        print(f"error: waited {timeout} s for {missing}, in vain", file=sys.stderr, flush=True)
        exit_now(2)

    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    # JAX itself would abort with a stack trace, and not say who is missing.
    timer = threading.Timer(timeout, give_up)
    timer.start()
    jax.distributed.initialize(
        coordinator,
        num_processes,
        process_id,
        initialization_timeout=timeout + 60,
        heartbeat_timeout_seconds=heartbeat,
    )
    timer.cancel()
    if jax.local_device_count() > 1:
        raise ValueError(
            "Expected one device for each process: set CUDA_VISIBLE_DEVICES or the like. "
            f"Received: {jax.local_device_count()}"
        )
    keras.distribution.set_distribution(keras.distribution.DataParallel(auto_shard_dataset=False))


def number_and_count():
    """Return the number of this process in its training, and how many processes there are."""
    if keras.config.backend() != "jax" or keras.distribution.distribution() is None:
        return 0, 1
    import jax

    return jax.process_index(), jax.process_count()


def barrier(name):
    """Wait until every process has reached the barrier of this name."""
    if number_and_count()[1] > 1:
        from jax.experimental import multihost_utils

        multihost_utils.sync_global_devices(name)


def leave_group():
    """Wait for all processes, then end what they share: each one is on its own from here on."""
    if number_and_count()[1] > 1:
        import jax

        jax.distributed.shutdown()
        keras.distribution.set_distribution(None)


@contextlib.contextmanager
def alone():
    """Let a process compute without the others: models built here are its own."""
    shared = keras.distribution.distribution()
    keras.distribution.set_distribution(None)
    try:
        yield
    finally:
        keras.distribution.set_distribution(shared)


def wait_for(path, every=1.0):
    """Wait until a file is there that process 0 writes whole, without a limit.

    Where process 0 is lost, JAX ends the others, as it does in the midst of a training.
    """
    while not path.is_file():
        time.sleep(every)


@contextlib.contextmanager
def raise_lost_process():
    """Raise `LostProcessError` in place of what JAX raises when another process has ended."""
    try:
        yield
    except Exception as error:
        if number_and_count()[1] > 1 and type(error).__name__ == "JaxRuntimeError":
            raise LostProcessError(str(error).splitlines()[0]) from error
        raise


def exit_now(status):
    """End this process at once; at an ordinary exit JAX would wait for the other processes."""
    sys.stdout.flush()
    os._exit(status)
