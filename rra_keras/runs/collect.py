"""One pass of a model over a split."""

import itertools
import math
import sys

import keras
import numpy as np

from rra_keras.data import pipeline
from rra_keras.measures.photos import filled


def progress_style():
    """Return Keras' `verbose`: a bar on a terminal, one line an epoch elsewhere."""
    return 1 if sys.stdout.isatty() else 2


def collect(model, splits, names=("logits",), batch_size=16, verbose=True):
    """Run a model over splits and keep what is asked for.

    Args:
        model: a classifier of this package.
        splits: a `Split`, or several, one after the other.
        names: what to keep of those that `model.view` knows.
        batch_size: photos at a time.
        verbose: whether to say how far it is.

    Returns:
        A dict of each name's values `(N, …)`, and the labels `(N,)`, integers. Of what has a row
        for each fixation, `(K · B, …)`, the values are `(N, K, …)`.

    Example:
        seen, labels = runs.collect(model, split, ("logits", "reads"), verbose=False)
        accuracy = np.mean(seen["logits"].argmax(-1) == labels)
    """
    splits = splits if isinstance(splits, (list, tuple)) else [splits]
    view = model.view(*names)
    view.compile(jit_compile=model.jit_compile if hasattr(model, "jit_compile") else "auto")
    batch_size = min(batch_size, max(1, *(split.size for split in splits)))
    steps = sum(math.ceil(split.size / batch_size) for split in splits)
    bar = keras.utils.Progbar(steps, verbose=progress_style(), unit_name="batch")
    parts, labels = [], []
    batches = (pipeline.evaluation_batches(split, model.image_size, batch_size) for split in splits)
    for images, batch_labels in itertools.chain(*batches):
        seen = by_photo(view.predict_on_batch(filled(np.asarray(images), batch_size)), batch_size)
        parts.append({name: values[: len(images)] for name, values in seen.items()})
        labels.append(np.asarray(batch_labels))
        if verbose:
            bar.add(1)
    joined = {name: np.concatenate([part[name] for part in parts]) for name in names}
    return joined, np.concatenate(labels)


def by_photo(seen, count):
    """Return a batch's intermediates with the photos first: `(K · B, …)` becomes `(B, K, …)`.

    Args:
        seen: a dict of arrays.
        count: photos of the batch, B.
    """
    arrays = {name: np.asarray(values) for name, values in seen.items()}
    return {
        name: values
        if len(values) == count
        else values.reshape(-1, count, *values.shape[1:]).swapaxes(0, 1)
        for name, values in arrays.items()
    }
