"""Several places that a localizer's votes agree upon, and which of them are the same object."""

from keras import ops

from rra_keras.layers.boxes import intersection_over_union, share_inside

SAME = 0.5  # share of a box inside another from which on both are of the same object
ALIKE = 0.2  # IoU from which on two positions vote for the same object
LEAST_SHARE = 0.005  # of all votes, below which nothing is a place


def fixation_boxes(counts, boxes, positions, count):
    """Return the boxes of the places that most votes are for, the most voted first.

    1. The position whose vote counts most is a peak. All positions inside its box, and all whose
       own boxes overlap it (IoU of `ALIKE` or more), vote for the same object: its box is their
       weighted mean.
    2. Their votes are spent. The next peak is the greatest of those that are left; and so on, until
       a place has less than `LEAST_SHARE` of all votes.

    So a large object, which many positions vote for, is one place, and its box is the mean of
    them all: each sees a part, and their errors cancel. Two small objects are two places, and no
    box lies between them.

    Args:
        counts: `(B, P)`, how much the vote of each of `P` positions counts; they add up to 1.
        boxes: `(B, P, 4)` as `y0 x0 y1 x1`, what each position votes for.
        positions: `(P, 2)` as `y x`, where the positions are in the boxes' frame.
        count: places `K`.

    Returns:
        Boxes `(B, K, 4)`, and the sum of the votes for each, `(B, K)`; 0 from the first on that had
        too few.
    """
    found, votes = [], []
    going = 1.0
    for _ in range(count):
        # No argmax: GPU delegates know few conditions, and equal peaks are all of them.
        greatest = ops.max(counts, axis=-1, keepdims=True)  # (B, 1)
        peak = ops.cast(counts >= greatest, boxes.dtype)
        peak_box = _mean(boxes, peak)  # (B, 1, 4)
        same = ops.cast(intersection_over_union(boxes, peak_box) >= ALIKE, boxes.dtype)  # (B, P)
        same = ops.maximum(ops.maximum(same, _inside(peak_box, positions)), peak)
        found.append(_mean(boxes, counts * same + 1e-9 * peak))
        share = ops.sum(counts * same, axis=-1, keepdims=True)  # (B, 1)
        going = going * ops.cast(share >= LEAST_SHARE, boxes.dtype)
        votes.append(share * going)
        counts = counts * (1.0 - same)
    return ops.concatenate(found, axis=1), ops.concatenate(votes, axis=-1)


def _inside(box, positions):
    """Tell which positions `(P, 2)` are inside a box `(B, 1, 4)`: `(B, P)` of 1 and 0."""
    low, high = ops.split(box, 2, axis=-1)  # (B, 1, 2) each
    margin = ops.min(ops.minimum(positions - low, high - positions), axis=-1)  # (B, P)
    return ops.cast(margin >= 0.0, box.dtype)


def _mean(boxes, weights):
    """Return the mean of boxes `(B, P, 4)`, weighted by `(B, P)`: `(B, 1, 4)`."""
    weights = ops.expand_dims(weights, -1)  # (B, P, 1)
    return ops.sum(weights * boxes, axis=1, keepdims=True) / ops.sum(weights, axis=1, keepdims=True)


def distinct(boxes, votes):
    """Tell which fixations ended on an object that none before them ended on.

    One of which half or more is inside the box of one before ended on the same object, or on a part
    of it.

    Args:
        boxes: `(B, K, 4)` as `y0 x0 y1 x1`.
        votes: `(B, K)`; what nothing voted for is no object.

    Returns:
        `(B, K)` of 1 and 0, in the boxes' dtype. The first is always 1.
    """
    places = ops.split(boxes, boxes.shape[1], axis=1)  # (B, 1, 4) each
    voted = ops.cast(votes > 0.0, boxes.dtype)
    new = [ops.ones_like(votes[:, :1])]
    for k, box in enumerate(places[1:], start=1):
        fresh = voted[:, k : k + 1]
        for before in places[:k]:
            apart = share_inside(box, before) < SAME  # (B, 1)
            fresh = fresh * ops.cast(apart, boxes.dtype)
        new.append(fresh)
    return ops.concatenate(new, axis=-1)
