"""What was read teaches where to look: among several places, those that say the photo's class."""

import dataclasses

import keras
import numpy as np
from tqdm import tqdm

from rra_keras.discovery.probe import CLASS_RIDGE, cross_fitted, linear_kernel
from rra_keras.discovery.views import make_viewer, see
from rra_keras.layers.boxes import grow_box
from rra_keras.measures.boxes import intersection_over_union
from rra_keras.measures.labels import listed
from rra_keras.measures.multilabel import r_precision
from rra_keras.measures.photos import filled

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
        chosen: `(N, M)`, the place that says most of each of the photo's labels; -1 where it has
            fewer than M.
        own: `(N, M)`, how much that is; the higher, the surer.
        right: `(H,)` in [0, 1], how rightly held-out photos are named by their places together.
        margin: `(H, M)`, by how much each of their labels is ahead of what they are not; NaN where
            there is none.
    """

    boxes: np.ndarray
    distinct: np.ndarray
    chosen: np.ndarray
    own: np.ndarray
    right: np.ndarray
    margin: np.ndarray

    @property
    def chosen_boxes(self):
        """The boxes of the chosen places, `(N, M, 4)`, NaN where there are fewer labels."""
        boxes = self.boxes[np.arange(len(self.boxes))[:, None], self.chosen]
        return np.where(self.chosen[..., None] >= 0, boxes, np.nan)

    @property
    def elsewhere(self):
        """The share of labels that were read elsewhere than at the first place."""
        there = self.chosen >= 0
        return np.mean(intersection_over_union(self.chosen_boxes, self.boxes[:, :1])[there] < 0.5)


def read(encoder, attention, photos, labels, fold, size):
    """Find places in photos by a localizer, and read them by a linear probe.

    1. The recursion gives each photo up to four places (`RecursiveAttention`); the frozen encoder
       sees a crop of each: features, pooled.
    2. At first the first place of each photo is the chosen one. A ridge regression on the features
       of the chosen places, each fold's from the other folds' photos, says how much each place is
       like each class; for each label of the photo the place most like it is chosen. And again.
    3. Photos of fold 0 are held out: they teach the regression nothing. A photo is as much like a
       class as that of its places which is most like it: how `right` is that?

    Args:
        encoder: a `keras.Model` from images `(B, size, size, 3)`, 0…255, to a feature map, or to a
            list that starts with it.
        attention: a `RecursiveAttention` of several fixations, whose localizer has learned.
        photos: `(N, S, S, 3)`, 0…255.
        labels: `(N, C)` of 0 and 1.
        fold: `(N,)` integers; at least three folds.
        size: side of the crops, pixels.

    Returns:
        `Read`.
    """
    boxes, distinct = _places(attention, photos)
    crops = np.asarray(grow_box(boxes, MARGIN), "float32")  # (N, K, 4)
    features = see(make_viewer(encoder, photos, boxes.shape[1], size, pool=True), photos, crops)
    kernel = linear_kernel(features.reshape(distinct.size, -1))
    label = listed(labels)  # (N, M)
    chosen = np.where(label >= 0, 0, -1)
    fold_of_place = np.repeat(fold, distinct.shape[1])
    for _ in range(CHOICES):
        taught = _taught(chosen, label, distinct, labels.shape[1])  # (N · K, C)
        teaching = taught.any(axis=1) & (fold_of_place != 0)
        scores = cross_fitted(kernel, taught, fold_of_place, CLASS_RIDGE, teaching)
        scores = np.where(distinct[..., None], scores.reshape(*distinct.shape, -1), -np.inf)
        own = np.take_along_axis(scores, np.maximum(label, 0)[:, None], axis=2)  # (N, K, M)
        chosen = np.where(label >= 0, own.argmax(axis=1), -1)
    held_out = (fold == 0) & labels.any(axis=1)
    answers, there = scores.max(axis=1)[held_out], labels[held_out] > 0  # (H, C)
    others = np.where(there, -np.inf, answers).max(axis=1, keepdims=True)
    margin = np.take_along_axis(answers, np.maximum(label[held_out], 0), axis=1) - others
    margin = np.where((label[held_out] >= 0) & np.isfinite(others), margin, np.nan)
    own = np.where(label >= 0, own.max(axis=1), -np.inf)
    return Read(boxes, distinct, chosen, own, r_precision(answers, there), margin)


def _taught(chosen, label, distinct, classes):
    """Return what each place teaches, `(N · K, C)`: the labels that it was chosen for."""
    taught = np.zeros((*distinct.shape, classes))
    photo, m = np.nonzero(label >= 0)
    taught[photo, chosen[photo, m], label[photo, m]] = 1
    return taught.reshape(-1, classes)


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
