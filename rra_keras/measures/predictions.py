"""What a model says of a split, and how often it is right."""

import csv
import io

import numpy as np


def accuracies(streams, labels):
    """Return `accuracy`, `top5_accuracy`, `glance_accuracy` and `look_accuracy` in [0, 1].

    Args:
        streams: logits `(N, C)` of `logits` and, where the model has them, `glance_logits` and
            `look_logits`; a stream that is missing gives `None`.
        labels: `(N,)` integers.
    """

    def accuracy(stream, k=1):
        if stream not in streams:
            return None
        top = np.argsort(-streams[stream], axis=-1, kind="stable")[:, :k]  # (N, k)
        return float(np.mean(np.any(top == labels[:, None], axis=-1)))

    return {
        "accuracy": accuracy("logits"),
        "top5_accuracy": accuracy("logits", k=5),
        "glance_accuracy": accuracy("glance_logits"),
        "look_accuracy": accuracy("look_logits"),
    }


def predictions_csv(streams, labels, class_names, names=None):
    """Return what each stream said of each image, as comma-separated values.

    Names stay as they are, for programs to read back. A spreadsheet takes one that begins with
    `=`, `+`, `-` or `@` for a formula unless told to import the columns as text; a mark against
    that would make it another name.

    Args:
        streams: logits `(N, C)` by stream.
        labels: `(N,)` integers.
        class_names: names in the order of the logits.
        names: the images' names; their numbers unless given.

    Returns:
        Lines of `image`, `label` and the class that each stream ranks first.
    """
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["image", "label", *streams])
    ranked_first = [np.argmax(logits, axis=-1) for logits in streams.values()]
    for i, label in enumerate(labels):
        first = [class_names[stream[i]] for stream in ranked_first]
        table.writerow([names[i] if names else i, class_names[label], *first])
    return text.getvalue()
