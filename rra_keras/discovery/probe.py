"""Which of several guesses at the objects helps to tell the classes apart, and whether any does."""

import dataclasses

import numpy as np
from tqdm import tqdm

from rra_keras.discovery.views import view_features

FRAME = "frame"  # the hypothesis that the whole photo is the object
RIDGE = 1e-2  # of the kernel's mean diagonal


@dataclasses.dataclass(frozen=True)
class Choice:
    """A hypothesis chosen, and what it was chosen by.

    Attributes:
        name: the chosen hypothesis.
        accuracy: share of held-out photos named rightly, by hypothesis.
        area: mean area of the boxes, by hypothesis.
    """

    name: str
    accuracy: dict
    area: dict


def choose_boxes(encoder, trunk, photos, labels, hypotheses, view_size=128, folds=3, seed=0, batch_size=32):
    """Probe hypotheses about where the objects are, by what their crops tell of the classes.

    1. Each photo glanced at by the frozen trunk. The boxes of each hypothesis regressed from it by
       ridge regression, each from photos of other folds: boxes as a model would find them, so that
       none knows its own photo's label.
    2. Each photo cropped there; the frozen encoder's features of the crop, pooled.
    3. A linear probe names the photos of each fold, from those of the others.
    4. The hypothesis of the most right. The whole frame is always one, and wins a tie.

    Args:
        encoder: a `keras.Model` from images `(B, s, s, 3)` to a feature map, or a list that starts
            with it.
        trunk: a `keras.Model` from images `(B, s, s, 3)` to a feature map.
        photos: `(N, S, S, 3)`, 0…255.
        labels: `(N,)` integers.
        hypotheses: name → boxes `(N, 4)`, `y0 x0 y1 x1` in [0, 1].
        view_size: side `s` of glances and crops, pixels.
        folds: parts of the photos that are held out in turn.
        seed: sets the folds.

    Returns:
        A `Choice`.
    """
    frame = np.tile(np.array([0, 0, 1, 1], "float32"), (len(photos), 1))
    hypotheses = {FRAME: frame} | dict(hypotheses)
    fold = fold_by_class(labels, folds, seed)
    glance = view_features(trunk, photos, frame, view_size, batch_size)
    kernel = linear_kernel(glance.reshape(len(photos), -1))
    accuracy, area = {}, {}
    for name, boxes in hypotheses.items():
        if name != FRAME:
            boxes = crossfitted(kernel, boxes, fold)
            boxes = tidy(boxes)
        features = view_features(encoder, photos, boxes, view_size, batch_size, pool=True)
        accuracy[name] = float(np.mean(probe(features, labels, fold) == labels))
        area[name] = float(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1).mean())
    best = max(accuracy, key=accuracy.get)
    return Choice(best, accuracy, area)


def fold_by_class(labels, folds, seed):
    """Number the photos of each class in turn, in random order: `(N,)` in `0…folds − 1`."""
    rng = np.random.default_rng(seed)
    fold = np.empty(len(labels), int)
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        fold[members] = (np.arange(len(members)) + rng.integers(folds)) % folds
    return fold


def linear_kernel(features):
    """Return the products `(N, N)` of standardised features `(N, D)`."""
    x = np.asarray(features, "float32")
    x = x - x.mean(axis=0)
    x = x / np.maximum(x.std(axis=0), 1e-3 * x.std() + 1e-6)
    return x @ x.T / x.shape[1]


def crossfitted(kernel, targets, fold, ridge=RIDGE):
    """Predict each fold's targets by ridge regression on the other folds.

    Args:
        kernel: `(N, N)`, products of the photos' features.
        targets: `(N, K)`.
        fold: `(N,)` integers.
        ridge: of the kernel's mean diagonal.

    Returns:
        `(N, K)` float32.
    """
    predicted = np.empty(targets.shape, "float32")
    for held_out in np.unique(fold):
        rest, out = fold != held_out, fold == held_out
        mean = targets[rest].mean(axis=0)
        inner = kernel[np.ix_(rest, rest)]
        inner = inner + ridge * np.trace(inner) / len(inner) * np.eye(len(inner))
        dual = np.linalg.solve(inner, targets[rest] - mean)
        predicted[out] = kernel[np.ix_(out, rest)] @ dual + mean
    return predicted


def tidy(boxes, least=0.1):
    """Clip boxes to the photo and give them `least` of its sides at least."""
    center = np.clip((boxes[:, :2] + boxes[:, 2:]) / 2, 0, 1)
    half = np.maximum(boxes[:, 2:] - boxes[:, :2], least) / 2
    return np.clip(np.concatenate([center - half, center + half], axis=1), 0, 1).astype("float32")


def probe(features, labels, fold):
    """Name each fold's photos by a linear classifier fitted to the others, `(N,)` labels.

    Ridge regression on one-hot labels of standardised features: closed form, so that it takes
    seconds and repeats to the digit.
    """
    classes, which = np.unique(labels, return_inverse=True)
    scores = crossfitted(linear_kernel(features), np.eye(len(classes))[which], fold, ridge=0.1)
    return classes[scores.argmax(axis=1)]
