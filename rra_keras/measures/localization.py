"""How well maps and boxes find what an annotated box encloses."""

import numpy as np
from scipy import ndimage

from rra_keras.measures.boxes import intersection_over_union

THRESHOLDS = np.arange(0.0, 1.0, 0.01)  # of a map from its least to its greatest value
IOUS = (0.3, 0.5, 0.7)


def boxes_of(mask):
    """Return the boxes of a mask's connected parts, the largest part first.

    Args:
        mask: `(G, G)` of booleans that cover the image edge to edge.

    Returns:
        `(parts, 4)`, `y0 x0 y1 x1` in [0, 1]. Parts connect over edges and corners.
    """
    parts, count = ndimage.label(mask, structure=np.ones((3, 3)))
    if not count:
        return np.zeros((0, 4))
    sizes = np.bincount(parts.ravel())[1:]
    found = ndimage.find_objects(parts)
    height, width = mask.shape
    boxes = [[y.start / height, x.start / width, y.stop / height, x.stop / width] for y, x in found]
    return np.array(boxes)[np.argsort(-sizes, kind="stable")]


def threshold_ious(maps, boxes, thresholds=THRESHOLDS):
    """Compare each map, cut off at each threshold, with the image's box.

    Args:
        maps: `(N, G, G)`; each is scaled to [0, 1] from its least to its greatest value.
        boxes: `(N, 4)`, `y0 x0 y1 x1` in [0, 1].
        thresholds: `(K,)`; what reaches a threshold is kept.

    Returns:
        `(N, K)` IoU of the largest connected part's box, and `(N, K)` of the best part's.
    """
    largest, best = np.zeros((2, len(maps), len(thresholds)))
    for i, (values, box) in enumerate(zip(maps, boxes, strict=True)):
        least, most = values.min(), values.max()
        scaled = (values - least) / (most - least) if most > least else np.zeros_like(values)
        for k, threshold in enumerate(thresholds):
            ious = intersection_over_union(boxes_of(scaled >= threshold), box)
            if len(ious):
                largest[i, k], best[i, k] = ious[0], ious.max()
    return largest, best


def max_box_acc(largest, iou=0.5):
    """Return MaxBoxAcc: the share of maps whose largest part reaches `iou`, at the best threshold.

    Source: Choe et al., "Evaluating Weakly Supervised Object Localization Methods Right" (CVPR
    2020). A box that knows no threshold is a map with a single one.

    Args:
        largest: `(N, K)` from `threshold_ious`.
        iou: the overlap that counts as found.
    """
    return float(np.mean(largest >= iou, axis=0).max())


def max_box_acc_v2(best, ious=IOUS):
    """Return MaxBoxAccV2: `max_box_acc` of each image's best part, averaged over `ious`.

    Source: Choe et al., "Evaluation for Weakly Supervised Object Localization: Protocol, Metrics,
    and Datasets" (TPAMI 2022).
    """
    return float(np.mean([max_box_acc(best, iou) for iou in ious]))


def peaks(maps):
    """Return where each map `(N, G, G)` is greatest, `(N, 2)` as `y x` in [0, 1]."""
    height, width = maps.shape[1:]
    y, x = np.unravel_index(maps.reshape(len(maps), -1).argmax(-1), (height, width))
    return np.stack([(y + 0.5) / height, (x + 0.5) / width], axis=-1)


def hits(points, boxes):
    """Return which points `(N, 2)` lie in their boxes `(N, 4)`: the pointing game, no tolerance.

    Source: Zhang et al., "Top-down Neural Attention by Excitation Backprop" (ECCV 2016), who let
    points miss by 15 pixels.
    """
    return np.all((points >= boxes[:, :2]) & (points <= boxes[:, 2:]), axis=-1)


def contains(boxes, parts):
    """Return which boxes `(…, 4)` enclose all of their parts' boxes `(…, 4)`."""
    starts, ends = boxes[..., :2] <= parts[..., :2], boxes[..., 2:] >= parts[..., 2:]
    return np.all(starts & ends, axis=-1)


def centers(boxes):
    """Return the centers of boxes `(N, 4)`, `(N, 2)` as `y x`."""
    return (boxes[:, :2] + boxes[:, 2:]) / 2


def center_boxes(boxes):
    """Return boxes of the same sizes `(N, 4)` in the middle of the image."""
    half = (boxes[:, 2:] - boxes[:, :2]) / 2
    return np.concatenate([0.5 - half, 0.5 + half], axis=-1)


def random_boxes(boxes, rng):
    """Return boxes of the same sizes `(N, 4)` anywhere inside the image, evenly."""
    sides = boxes[:, 2:] - boxes[:, :2]
    corner = rng.uniform(size=sides.shape) * (1 - sides)
    return np.concatenate([corner, corner + sides], axis=-1)
