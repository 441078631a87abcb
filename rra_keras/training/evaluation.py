"""What a model says of a split."""

import keras
import numpy as np


def collect(model, batches, steps=None):
    """Run `model` over `batches` of `(images, labels)`, with a progress bar.

    Args:
        model: an `RRAClassifier`.
        batches: yields `(B, S, S, 3)` images and `(B, C)` one-hot labels.
        steps: number of batches, for the progress bar.

    Returns:
        A dict of each stream's logits `(N, C)`, and the labels `(N,)` as integers.
    """
    view = model.view(*model.streams)
    bar = keras.utils.Progbar(steps, unit_name="batch")
    collected, labels = [], []
    for images, one_hot in batches:
        collected.append(view.predict_on_batch(np.asarray(images)))
        labels.append(np.argmax(one_hot, axis=-1))
        bar.add(1)
    streams = {name: np.concatenate([out[name] for out in collected]) for name in collected[0]}
    return streams, np.concatenate(labels)
