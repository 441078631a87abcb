"""What was read teaches where to look: among several places, those that say the photo's class."""

import dataclasses

import keras
import numpy as np
from tqdm import tqdm

from rra_keras.discovery.probe import CLASS_RIDGE, linear_kernel
from rra_keras.discovery.views import filled, make_viewer, see
from rra_keras.layers import RecursiveAttention
from rra_keras.layers.boxes import grow_box
from rra_keras.measures.boxes import intersection_over_union

FIXATIONS = 4
ELSEWHERE = (
    0.2  # share of photos read elsewhere than at the first place that makes a round worth it
)
MARGIN = 0.1  # of a box's sides, added before it is read
CHOICES = 4  # times that the places of the photos are chosen again


@dataclasses.dataclass(frozen=True)
class Round:
    """One round of teaching a localizer by what was read.

    Attributes:
        before: share of held-out photos that the probe reads rightly by the localizer of before.
        after: the same by the localizer that was taught again.
        elsewhere: share of the photos that were read elsewhere than at the first place.
        gain: by how much their margin, own class against the best other, grew on average.
    """

    before: float
    after: float
    elsewhere: float
    gain: float

    @property
    def kept(self):
        """Whether the new localizer was kept: by the margin, as few photos change sides."""
        return self.gain > 0

    def __str__(self):
        said = "kept" if self.kept else "not kept"
        right = f"held-out photos read rightly: {self.before:.0%} → {self.after:.0%}"
        return f"{right}, margin {self.gain:+.3f}: {said}"


@dataclasses.dataclass(frozen=True)
class Read:
    """N photos, read at K places each by a linear probe on frozen features.

    Attributes:
        boxes: `(N, K, 4)`, the objects' boxes, the most voted first.
        distinct: `(N, K)` booleans, which of them count.
        chosen: `(N,)`, the place that says most of the photo's own class.
        own: `(N,)`, how much that is; the higher, the surer.
        margin: `(H,)`, of held-out photos, at the place that says most: how much more like its own
            class than like any other.
    """

    boxes: np.ndarray
    distinct: np.ndarray
    chosen: np.ndarray
    own: np.ndarray
    margin: np.ndarray

    @property
    def right(self):
        """Which held-out photos are read rightly, `(H,)` booleans."""
        return self.margin > 0

    @property
    def chosen_boxes(self):
        """The boxes of the chosen places, `(N, 4)`."""
        return self.boxes[np.arange(len(self.boxes)), self.chosen]

    @property
    def elsewhere(self):
        """Which photos were read elsewhere than at the first place, `(N,)` booleans."""
        return intersection_over_union(self.chosen_boxes, self.boxes[:, 0]) < 0.5


def read(encoder, trunk, localizer, photos, labels, fold, size, max_refinements):
    """Find places in photos by a localizer, and read them by a linear probe.

    1. The recursion gives each photo up to four places (`RecursiveAttention`); the frozen encoder
       sees a crop of each: features, pooled.
    2. At first the first place of each photo is the chosen one. A ridge regression on the features
       of the chosen places, each fold's from the other folds' photos, says how much each place is
       like each class; the one most like the photo's own class is chosen. And again.
    3. Photos of fold 0 are held out: they teach the regression nothing. How well they are read, at
       the place that is most like any class, is the `margin`.

    Args:
        encoder: a `keras.Model` from images `(B, size, size, 3)`, 0…255, to a feature map, or to a
            list that starts with it.
        trunk: its early layers.
        localizer: a `BoxLocalizer`.
        photos: `(N, S, S, 3)`, 0…255.
        labels: `(N,)` integers.
        fold: `(N,)` integers; at least three folds.
        size: side of the glance and of the crops, pixels.
        max_refinements: most closer views of each place.

    Returns:
        `Read`.
    """
    attention = RecursiveAttention(trunk, localizer, size, max_refinements, FIXATIONS)
    boxes, distinct = _places(attention, photos)
    crops = np.asarray(grow_box(boxes, MARGIN), "float32")  # (N, K, 4)
    features = see(make_viewer(encoder, photos, FIXATIONS, size, pool=True), photos, crops)
    count, places = distinct.shape
    kernel = linear_kernel(features.reshape(count * places, -1))
    rows = np.arange(count)
    classes, label = np.unique(labels, return_inverse=True)
    targets = np.eye(len(classes))[label]
    chosen = np.zeros(count, int)
    for _ in range(CHOICES):
        scores = _cross_fitted(kernel, targets, fold, rows * places + chosen, places)  # (N, K, C)
        own = np.where(distinct, scores[rows, :, label], -np.inf)  # (N, K)
        chosen = own.argmax(axis=1)
    held_out = np.flatnonzero(fold == 0)
    answers = scores[held_out, _most(scores, distinct)[held_out]]  # (H, C)
    own_class = targets[held_out] > 0
    margin = answers[own_class] - np.where(own_class, -np.inf, answers).max(axis=-1)
    return Read(boxes, distinct, chosen, own[rows, chosen], margin)


def _most(scores, distinct):
    """Return the place of each photo that is most like any class, `(N,)`."""
    return np.where(distinct, scores.max(axis=-1), -np.inf).argmax(axis=1)


def _cross_fitted(kernel, targets, fold, chosen, places):
    """Score all places of each fold by ridge regression on the chosen ones of the others.

    Photos of fold 0 teach nothing.

    Args:
        kernel: `(N · K, N · K)`, products of the features.
        targets: `(N, C)`.
        fold: `(N,)` integers.
        chosen: `(N,)`, the row of each photo's chosen place.
        places: K.

    Returns:
        `(N, K, C)` float32.
    """
    count = len(targets)
    scores = np.empty((count, places, targets.shape[1]), "float32")
    for held_out in np.unique(fold):
        rest = np.flatnonzero((fold != held_out) & (fold != 0))
        out = np.flatnonzero(fold == held_out)
        mean = targets[rest].mean(axis=0)
        columns = kernel[:, chosen[rest]]
        columns = columns - columns[chosen[rest]].mean(axis=0)
        columns = columns - columns.mean(axis=1, keepdims=True)
        inner = columns[chosen[rest]]
        penalty = (CLASS_RIDGE * np.trace(inner) / len(rest) + 1e-12) * np.eye(len(rest))
        dual = np.linalg.solve(inner + penalty, targets[rest] - mean)
        each = (out[:, None] * places + np.arange(places)).ravel()
        scores[out] = (columns[each] @ dual + mean).reshape(len(out), places, -1)
    return scores


def _places(attention, photos, batch_size=16):
    """Return the boxes `(N, K, 4)` of photos' places, and which are distinct, `(N, K)`."""
    images = keras.Input(photos.shape[1:], dtype=str(photos.dtype))
    where = attention(images)
    model = keras.Model(images, [where["boxes"], where["distinct"]])
    boxes, distinct = [], []
    with tqdm(total=len(photos), desc="Looking elsewhere", unit="photo", disable=None) as bar:
        for start in range(0, len(photos), batch_size):
            batch = photos[start : start + batch_size]
            found = model.predict_on_batch(filled(np.asarray(batch), batch_size))
            boxes.append(np.asarray(found[0])[: len(batch)])
            distinct.append(np.asarray(found[1])[: len(batch)] > 0)
            bar.update(len(batch))
    return np.concatenate(boxes), np.concatenate(distinct)
