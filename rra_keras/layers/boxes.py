"""Boxes `y0 x0 y1 x1`: from a map of mass, inside one another, grown, compared."""

from keras import ops

FINEST = 6  # a box's grid is never finer than that of one with sides of 2⁻⁶


def moment_box(activation, spread=3**0.5, min_size=0.3, max_size=0.75, aspect=1.0):
    """Return the box that covers a map's mass: its center and sides from its moments.

    1. Keep what rises above the map's mean, as a distribution over positions, even in each cell.
    2. Center: its mean. Sides: the smallest of the given aspect that reach `2 · spread` standard
       deviations along both axes.
    3. Clip the longer side to `[min_size, max_size]`, and move the center until the box is inside.

    A constant map gives the center and the spread of the whole image.

    Args:
        activation: `(B, h, w)`.
        spread: half a side in standard deviations; √3 covers an even blob exactly.
        min_size: smallest longer side, as a fraction of the image's.
        max_size: largest longer side.
        aspect: the box's width by its height, as fractions of the image's.

    Returns:
        `(B, 4)` as `y0 x0 y1 x1` in [0, 1].
    """
    height, width = activation.shape[1:]
    mass = ops.relu(activation - ops.mean(activation, axis=(1, 2), keepdims=True)) + 1e-6
    mass = mass / ops.sum(mass, axis=(1, 2), keepdims=True)  # (B, h, w)
    center_y, sd_y = _mean_and_sd(ops.sum(mass, axis=2), height)  # (B, 1) each
    center_x, sd_x = _mean_and_sd(ops.sum(mass, axis=1), width)
    share_y, share_x = sides(aspect)
    half = spread * ops.maximum(sd_y / share_y, sd_x / share_x)
    half = ops.clip(half, min_size / 2, max_size / 2)
    return box_around(center_y, center_x, half * share_y, half * share_x)


def _mean_and_sd(mass, size):
    positions = (ops.arange(size, dtype="float32") + 0.5) / size  # cell centers in [0, 1]
    mean = ops.sum(mass * positions, axis=-1, keepdims=True)  # (B, 1)
    variance = ops.sum(mass * ops.square(positions - mean), axis=-1, keepdims=True)
    return mean, ops.sqrt(variance + 1.0 / (12.0 * size**2))  # a cell's own mass is spread evenly


def sides(aspect):
    """Return the height and the width of a box of the given aspect whose longer side is 1."""
    return min(1.0, 1.0 / aspect), min(1.0, aspect)


def box_around(center_y, center_x, half_y, half_x):
    """Return the boxes `(B, 4)` around centers, moved until they are inside [0, 1].

    Args:
        center_y: `(B, 1)`.
        center_x: `(B, 1)`.
        half_y: `(B, 1)`, half the height, at most 0.5.
        half_x: `(B, 1)`, half the width, at most 0.5.
    """
    center_y = ops.clip(center_y, half_y, 1.0 - half_y)
    center_x = ops.clip(center_x, half_x, 1.0 - half_x)
    return ops.concatenate(
        [center_y - half_y, center_x - half_x, center_y + half_y, center_x + half_x], axis=-1
    )


def box_in_box(outer, inner):
    """Return `inner` `(B, 4)`, given relative to `outer` `(B, 4)`, in `outer`'s own frame."""
    y0, x0, y1, x1 = ops.split(outer, 4, axis=-1)  # (B, 1) each
    origin = ops.concatenate([y0, x0, y0, x0], axis=-1)
    extent = ops.concatenate([y1 - y0, x1 - x0, y1 - y0, x1 - x0], axis=-1)
    return origin + inner * extent


def grow_box(boxes, margin):
    """Return boxes with `margin` of their height and width added in all, inside the image.

    1. Half of the margin is added on either side of the box, in height and in width.
    2. Clipped to [0, 1]: at the image's edge it only grows inwards.

    Args:
        boxes: `(…, 4)` as `y0 x0 y1 x1`.
        margin: share of the box's sides; 0.5 makes them half as long again.
    """
    low, high = ops.split(boxes, 2, axis=-1)  # (…, 2) each
    reach = 0.5 * margin * (high - low)
    return ops.clip(ops.concatenate([low - reach, high + reach], axis=-1), 0.0, 1.0)


def snap_box(boxes, cells=16):
    """Return boxes whose edges lie on a grid: a box that moved a little is mostly the same again.

    Half floats, int8 weights and another decoder move a box by a pixel or so, and a network may
    name a crop otherwise that was cut a pixel apart. So a crop is cut where these agree.

    1. The grid along an axis is a 16th of the largest power of two that is no longer than the box
       is there: 1/16, 1/32, … of the image, numbers that half floats hold exactly.
    2. Each edge goes to the nearest line, at most a 32nd of the box's side away.

    Sides of less than a 64th of the image have the grid of a 64th.

    Args:
        boxes: `(…, 4)` as `y0 x0 y1 x1` in [0, 1].
        cells: lines of the grid in a power of two, itself a power of two.

    Example:
        boxes = rra_keras.layers.boxes.snap_box(np.array([[0.30, 0.10, 0.61, 0.90]]))
        assert boxes[0, 3] == 29 / 32  # the grid along x is a 32nd, along y a 64th
    """
    low, high = ops.split(boxes, 2, axis=-1)  # (…, 2) each
    side = high - low
    step = 0.0 * side + 2.0**-FINEST
    for k in range(FINEST):  # by comparing: logarithms are not exact on a GPU
        step = step + 2.0 ** -(k + 1) * ops.cast(side >= 2.0**-k, step.dtype)
    step = ops.concatenate([step, step], axis=-1) / cells
    return ops.floor(boxes / step + 0.5) * step


def intersection_over_union(boxes, others):
    """Return the overlap of boxes `(…, 4)` with others `(…, 4)`, which broadcast: `(…,)` in [0, 1].

    Two boxes of no area do not overlap. GPU delegates take what it is made of.
    """
    shared, own, other = _areas(boxes, others)
    return ops.squeeze(shared / (own + other - shared + 1e-9), axis=-1)


def share_inside(boxes, others):
    """Return the share of boxes `(…, 4)` that is inside others `(…, 4)`: `(…,)` in [0, 1].

    They broadcast. None of a box without area is inside. GPU delegates take what it is made of.
    """
    shared, own, _ = _areas(boxes, others)
    return ops.squeeze(shared / (own + 1e-9), axis=-1)


def _areas(boxes, others):
    """Return the areas `(…, 1)` that boxes and others share, and of each."""
    y0, x0, y1, x1 = ops.split(boxes, 4, axis=-1)
    v0, u0, v1, u1 = ops.split(others, 4, axis=-1)
    shared = ops.relu(ops.minimum(y1, v1) - ops.maximum(y0, v0)) * ops.relu(
        ops.minimum(x1, u1) - ops.maximum(x0, u0)
    )
    return shared, ops.relu(y1 - y0) * ops.relu(x1 - x0), ops.relu(v1 - v0) * ops.relu(u1 - u0)


def generalized_iou(boxes, others):
    """Return the overlap of boxes, and how far apart those are that do not overlap.

    1. IoU: the area that both share, by the area that either covers.
    2. Less the share of the smallest box around both that neither covers, so that boxes apart
       have a slope towards each other.

    Args:
        boxes: `(…, 4)` as `y0 x0 y1 x1`.
        others: `(…, 4)`.

    Returns:
        `(…,)` in [-1, 1], 1 for equal boxes; finite, as its slopes are, for boxes of no area.

    Source: Rezatofighi et al., "Generalized Intersection over Union" (CVPR 2019).
    """
    low, high = ops.split(boxes, 2, axis=-1)
    other_low, other_high = ops.split(others, 2, axis=-1)
    shared = _area(ops.maximum(low, other_low), ops.minimum(high, other_high))
    covered = _area(low, high) + _area(other_low, other_high) - shared
    around = _area(ops.minimum(low, other_low), ops.maximum(high, other_high))
    tiny = 1e-7
    iou = (shared + tiny) / (covered + tiny)
    return iou - (around - covered) / (around + tiny)


def _area(low, high):
    return ops.prod(ops.relu(high - low), axis=-1)


def box_loss(targets, boxes):
    """Return how far boxes are from their targets: `1 − GIoU + L1`, `(…,)`.

    GIoU alone has no slope from a box's middle to its target's where one encloses the other; the
    mean absolute difference of the four edges has.

    Args:
        targets: `(…, 4)` as `y0 x0 y1 x1` in [0, 1].
        boxes: `(…, 4)`.
    """
    return 1.0 - generalized_iou(boxes, targets) + ops.sum(ops.abs(boxes - targets), axis=-1)
