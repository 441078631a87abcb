"""What a model answers on a split."""

import sys

import keras
import numpy as np


def progress_style():
    """Return Keras' `verbose`: a bar on a terminal, one line an epoch elsewhere."""
    return 1 if sys.stdout.isatty() else 2


def collect(model, batches, steps=None, names=None):
    """Run a model over batches, and say how far it is.

    Args:
        model: an `RRAClassifier`.
        batches: yields `(B, S, S, 3)` images and `(B, C)` one-hot labels.
        steps: number of batches, for the progress bar.
        names: what to keep of those that `model.view` knows; all streams of logits unless given.

    Returns:
        A dict of each name's values `(N, …)`, and the labels `(N,)` as integers.
    """
    names = names or model.streams
    view = model.view(*names)
    view.compile(jit_compile=model.jit_compile)
    bar = keras.utils.Progbar(steps, verbose=progress_style(), unit_name="batch")
    collected, labels = [], []
    for images, one_hot in batches:
        collected.append(view.predict_on_batch(np.asarray(images)))
        labels.append(np.argmax(one_hot, axis=-1))
        bar.add(1)
    joined = {name: np.concatenate([out[name] for out in collected]) for name in names}
    return joined, np.concatenate(labels)
