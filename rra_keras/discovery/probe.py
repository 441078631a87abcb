"""Which of several guesses at the objects helps to tell the classes apart, and whether any does."""

import dataclasses

import numpy as np

from rra_keras.discovery.views import make_viewer, relative_boxes, see
from rra_keras.layers.boxes import box_in_box
from rra_keras.measures.boxes import whole
from rra_keras.measures.labels import rarest
from rra_keras.measures.multilabel import r_precision

FRAME = "frame"  # the hypothesis that the whole photo is the object
BOX_RIDGE = 1e-2  # of the kernel's mean diagonal
CLASS_RIDGE = 1e-1
LEAST_SIDE = 0.1  # of a regressed box


@dataclasses.dataclass(frozen=True)
class Choice:
    """The hypothesis that was chosen, and by what.

    Attributes:
        name: the chosen one.
        accuracy: share of held-out photos named rightly, by hypothesis; of several labels a photo,
            their `r_precision`.
        area: the boxes' mean area, by hypothesis.
        sure: whether it names more photos rightly than the whole frame beyond chance, by two
            standard errors of a paired comparison.
    """

    name: str
    accuracy: dict[str, float]
    area: dict[str, float]
    sure: bool = False


def choose_hypothesis(
    encoder, trunk, photos, labels, hypotheses, size=128, frame_size=None, folds=3, seed=0
):
    """Compare guesses at where the objects are by what their crops tell of the classes.

    1. The frozen trunk glances at each photo, or at the view in which the objects were looked for.
       The boxes of each hypothesis are regressed from that, those of each fold from the photos of
       the others: boxes as a model would find them, which do not know the photo's own label.
    2. Each photo is cropped there and seen by the frozen encoder; its features, pooled.
    3. A linear probe names the photos of each fold, fitted to those of the others.
    4. Of the guesses, the first counts that no other beats beyond chance, by two standard errors of
       a paired comparison. It wins if it names more photos rightly than the whole frame does,
       which is seen at `frame_size`: at what the plain backbone would see at the model's cost.

    Args:
        encoder: a `keras.Model` from images `(B, size, size, 3)`, 0…255, to a feature map, or to a
            list that starts with it.
        trunk: a `keras.Model` from the same images to an earlier feature map.
        photos: `(N, S, S, 3)`, 0…255.
        labels: `(N, C)` of 0 and 1.
        hypotheses: by name, the preferred ones first: boxes `(N, 4)` and the views `(N, 4)` that
            they were found in, both `y0 x0 y1 x1` in [0, 1].
        size: side of glances and crops, pixels.
        frame_size: side of whole photos, pixels; `size` unless given.
        folds: parts of the photos, held out in turn.
        seed: sets the folds.

    Returns:
        A `Choice`.
    """
    frame = whole(len(photos))
    labeled = labels.any(axis=1)
    fold = folds_by_class(rarest(labels), folds, seed)
    glancer = make_viewer(trunk, photos, 1, size)
    kernels = {}  # by the views that were glanced at
    cropper = make_viewer(encoder, photos, 1, size, pool=True)
    framer = make_viewer(encoder, photos, 1, frame_size or size, pool=True)
    right, area = {}, {}
    for name, (boxes, views) in {FRAME: (frame, frame), **hypotheses}.items():
        if name != FRAME:
            key = views.tobytes()
            if key not in kernels:
                glance = see(glancer, photos, views[:, None], description="Glancing at photos")
                kernels[key] = linear_kernel(glance.reshape(len(photos), -1))
            inner = cross_fitted(kernels[key], relative_boxes(boxes, views), fold, BOX_RIDGE)
            boxes = np.asarray(box_in_box(views, inside_frame(inner)))
        viewer = framer if name == FRAME else cropper
        features = see(viewer, photos, boxes[:, None], description=f"Trying {name}")[:, 0]
        right[name] = r_precision(linear_probe(features, labels, fold), labels)[labeled]
        area[name] = float(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1).mean())
    accuracy = {name: float(np.mean(named)) for name, named in right.items()}
    best = _best(right)
    return Choice(best, accuracy, area, beats(right[best], right[FRAME]))


def _best(right):
    """Return the hypothesis that wins, by which photos each names rightly, the frame first."""
    guesses = {name: named for name, named in right.items() if name != FRAME}
    for name, named in guesses.items():
        if not any(beats(other, named) for other in guesses.values()):
            return name if named.sum() > right[FRAME].sum() else FRAME
    return FRAME


def beats(right, other, errors=2.0):
    """Tell whether one probe is right more often than another, beyond chance.

    Args:
        right: `(N,)` in [0, 1], how rightly the one names each photo.
        other: `(N,)`, the other.
        errors: standard errors that it has to be ahead by.
    """
    ahead = np.asarray(right, "float64") - other
    return bool(ahead.sum() > errors * np.sqrt((ahead**2).sum()))


def folds_by_class(labels, folds, seed):
    """Deal the photos of each class in turn, in random order: `(N,)` of `0 … folds − 1`."""
    rng = np.random.default_rng(seed)
    fold = np.empty(len(labels), int)
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        fold[members] = (np.arange(len(members)) + rng.integers(folds)) % folds
    return fold


def linear_kernel(features):
    """Return the products `(N, N)` of features `(N, D)`, each of mean 0 and variance 1.

    Features that hardly vary are left small.
    """
    x = np.asarray(features, "float32")
    x = x - x.mean(axis=0)
    deviation = x.std(axis=0)
    x = x / np.maximum(deviation, 1e-3 * deviation.max() + 1e-12)
    return x @ x.T / x.shape[1]


def cross_fitted(kernel, targets, fold, ridge, teaching=True):
    """Predict each fold's targets by ridge regression on the other folds.

    Args:
        kernel: `(N, N)`, products of the features.
        targets: `(N, K)`.
        fold: `(N,)` integers.
        ridge: share of the kernel's mean diagonal that is added to it.
        teaching: `(N,)` booleans, the rows that the regression learns from; all unless given.

    Returns:
        `(N, K)` float32.
    """
    predicted = np.empty(targets.shape, "float32")
    for held_out in np.unique(fold):
        rest, out = np.flatnonzero(teaching & (fold != held_out)), np.flatnonzero(fold == held_out)
        mean = targets[rest].mean(axis=0)
        # Of mean 0 over the rest: it has no part in the fold that is held out.
        columns = kernel[:, rest] - kernel[rest][:, rest].mean(axis=0)
        columns = columns - columns.mean(axis=1, keepdims=True)  # (N, rest)
        inner = columns[rest]
        penalty = (ridge * np.trace(inner) / len(rest) + 1e-12) * np.eye(len(rest))
        dual = np.linalg.solve(inner + penalty, targets[rest] - mean)
        predicted[out] = columns[out] @ dual + mean
    return predicted


def inside_frame(boxes, least=LEAST_SIDE):
    """Return boxes `(N, 4)` of at least `least` a side, clipped to the photo."""
    center = np.clip((boxes[:, :2] + boxes[:, 2:]) / 2, least / 2, 1 - least / 2)
    half = np.maximum(boxes[:, 2:] - boxes[:, :2], least) / 2
    return np.clip(np.concatenate([center - half, center + half], axis=1), 0, 1)


def linear_probe(features, labels, fold):
    """Score each fold's photos by a linear classifier fitted to the others, `(N, C)`.

    Ridge regression on labels `(N, C)` of 0 and 1: in closed form, seconds, and the same to the
    digit.
    """
    return cross_fitted(linear_kernel(features), labels, fold, CLASS_RIDGE)
