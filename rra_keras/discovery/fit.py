"""A localizer learns from discovered boxes, to find the object by itself."""

import keras
import numpy as np
from keras import ops
from tqdm import tqdm

from rra_keras.discovery.views import make_viewer, relative_boxes, see
from rra_keras.layers.box_localizer import cast_votes, cell_centers
from rra_keras.layers.boxes import box_loss
from rra_keras.measures.boxes import whole

MARGINS = (0.1, 1.5)  # least and most that is added to a box's sides to make a view of it
GLANCES = 2  # of each photo, where the glance is larger than the views
LEAST_GLANCE = 0.7  # of the photo's sides, that is seen in them
GLANCED = 0.25  # weight of their loss, of the whole
PLACED = 0.3  # weight of the cross entropy, beside the loss of the box


def random_views(boxes, count, rng, margins=MARGINS, far=0):
    """Draw views to find objects in: the whole photo, and crops around the object's box.

    1. The first view of each photo is the whole.
    2. The others add a random share of `margins` to the box's height and to its width, spread at
       random over both sides, and end at the photo's edge.
    3. `far` more of each photo are wider than those: on the way from the whole to the object, their
       sides the whole's to the power of an even share.

    Args:
        boxes: `(N, 4)`, `y0 x0 y1 x1` in [0, 1].
        count: views of each photo, `V`.
        rng: a `numpy.random.Generator`.
        margins: the least and the most to add, as shares of the box's sides.
        far: views `F` of each photo beyond `count`.

    Returns:
        `(N, V + F, 4)` float32 in [0, 1].
    """
    views = np.repeat(whole(len(boxes))[:, None], count, axis=1)
    shape = (len(boxes), count - 1, 2)
    added = rng.uniform(*margins, shape) * (boxes[:, 2:] - boxes[:, :2])[:, None]
    before = rng.uniform(size=shape) * added
    views[:, 1:, :2] = np.maximum(boxes[:, None, :2] - before, 0)
    views[:, 1:, 2:] = np.minimum(boxes[:, None, 2:] + added - before, 1)
    if far:
        views = np.concatenate([views, _far_views(boxes, far, rng, 1 + margins[1])], axis=1)
    return views


def _far_views(boxes, count, rng, nearest):
    """Return squares around boxes, from `nearest` of their longer sides to the whole photo."""
    low, high = boxes[:, None, :2], boxes[:, None, 2:]
    least = np.minimum(nearest * (high - low).max(axis=-1, keepdims=True), 1)  # (N, 1, 1)
    side = least ** rng.uniform(size=(len(boxes), count, 1))
    room = side - (high - low)  # (N, F, 2); the square is moved so far, and then into the photo
    corner = low - rng.uniform(size=room.shape) * room
    corner = np.clip(corner, 0, 1 - side)
    return np.concatenate([corner, corner + side], axis=-1).astype("float32")


def mirrored(boxes):
    """Return boxes `(…, 4)` as they are in the photo turned left to right."""
    y0, x0, y1, x1 = np.moveaxis(boxes, -1, 0)
    return np.stack([y0, 1 - x1, y1, 1 - x0], axis=-1)


class Batches(keras.utils.PyDataset):
    """Batches of features and boxes, in an order that the seed and the epoch set.

    Args:
        features: `(R, h, w, D)`.
        boxes: `(R, M, 4)`, any of which is right.
        batch_size: rows a batch; what does not fill one is left out, unless there are no more.
        seed: sets the order.
        beside: `(features, boxes)` of another size, of which each batch has an eighth as many rows;
            or `None`.
    """

    def __init__(self, features, boxes, batch_size, seed, beside=None):
        super().__init__()
        self.batch_size = min(batch_size, len(boxes))
        self.rng = np.random.default_rng(seed)
        self.groups = [(features, boxes)] if beside is None else [(features, boxes), beside]
        self.sizes = [self.batch_size, max(1, self.batch_size // 8)][: len(self.groups)]
        self.on_epoch_end()

    def __len__(self):
        return len(self.groups[0][1]) // self.batch_size

    def __getitem__(self, step):
        batch = []
        for (features, boxes), size, order in zip(
            self.groups, self.sizes, self.orders, strict=True
        ):
            rows = order[step * size : (step + 1) * size]
            batch.append((features[rows].astype("float32"), boxes[rows]))
        return tuple(zip(*batch, strict=True))

    def on_epoch_end(self):
        self.orders = []
        for (_, boxes), size in zip(self.groups, self.sizes, strict=True):
            times = -(-len(self) * size // len(boxes))  # as often as the epoch is long
            orders = [self.rng.permutation(len(boxes)) for _ in range(times)]
            self.orders.append(np.concatenate(orders))


def fit_localizer(
    localizer,
    trunk,
    photos,
    boxes,
    size=128,
    views=6,
    epochs=14,
    batch_size=64,
    learning_rate=1e-3,
    seed=0,
    far_views=0,
    glance_size=None,
):
    """Train a localizer on views of photos whose objects' boxes are known, or guessed.

    1. `random_views` of each photo, half of them mirrored, cut out and seen by the frozen trunk,
       once and for all: features `(N · V, h, w, D)`, half floats.
    2. Where the glance is larger than the views, `glances` of each photo as well.
    3. Only the localizer is trained on them by `vote_loss`, AdamW, the learning rate falling as a
       cosine. It averages over what is wrong with the boxes in each photo, and ends up better than
       they are.

    The weights that it starts from and the seed set the result.

    Example:
        encoder = backbones.build_encoder("efficientnet_lite0", train_from="block_11")
        trunk, localizer = backbones.build_trunk(encoder, "block_11"), rra_keras.BoxLocalizer()
        discovery.fit_localizer(localizer, trunk, images[:2], boxes, size=32, epochs=1)

    Args:
        localizer: a `BoxLocalizer`.
        trunk: a `keras.Model` from images `(B, size, size, 3)`, 0…255, to features.
        photos: `(N, S, S, 3)`, 0…255.
        boxes: `(N, 4)`, `y0 x0 y1 x1` in [0, 1], or several of each photo, `(N, M, 4)`, NaN where
            there are fewer: then the one nearest to what the localizer says is right.
        size: side of what the trunk sees, pixels.
        views: views of each photo, `V`.
        epochs: times that each view is trained on.
        batch_size: views a step.
        learning_rate: the first step's.
        seed: sets the views and their order.
        far_views: further views of each photo, for objects that are small in it, see
            `random_views`.
        glance_size: side of the glance, if it is another than the views'.

    Returns:
        The `keras.callbacks.History` of the training.

    Source: Zhang et al., "Rethinking the Route Towards Weakly Supervised Object Localization"
    (CVPR 2020), PSOL.
    """
    rng = np.random.default_rng(seed)
    boxes = np.asarray(boxes, "float32")
    boxes = boxes.reshape(len(boxes), -1, 4)  # (N, M, 4)
    photo, own = np.nonzero(~np.isnan(boxes[..., 0]))  # (R,) each: the boxes, one after the other
    places = random_views(boxes[photo, own], views, rng, far=far_views)  # (R, V, 4)
    seen = photos if len(own) == len(photos) else Rows(photos, photo)
    views = _seen(trunk, seen, boxes[photo], places, size, rng, own)
    beside = None
    if glance_size not in (None, size):
        places = glances(len(photos), GLANCES, rng)
        beside = _seen(trunk, photos, boxes, places, glance_size, rng)
    batches = Batches(*views, batch_size, seed, beside)
    return fit_on_features(localizer, batches, epochs, learning_rate)


def glances(count, each, rng):
    """Draw glances: the whole photo, and squares of seven tenths of its sides and more.

    Args:
        count: photos `N`.
        each: glances `G` of each.
        rng: a `numpy.random.Generator`.

    Returns:
        `(N, G, 4)` float32 in [0, 1].
    """
    side = rng.uniform(LEAST_GLANCE, 1, (count, each, 1))
    side[:, 0] = 1
    corner = rng.uniform(size=(count, each, 2)) * (1 - side)
    return np.concatenate([corner, corner + side], axis=-1).astype("float32")


def _seen(trunk, photos, boxes, places, size, rng, own=None):
    """Return features of views, half of them mirrored, and the boxes in them.

    Args:
        trunk: as `fit_localizer`'s.
        photos: `(R, S, S, 3)`, 0…255.
        boxes: `(R, M, 4)`, NaN where there are fewer.
        places: `(R, V, 4)`, the views.
        size: their side, pixels.
        rng: draws which are mirrored.
        own: `(R,)`, the boxes that views were made for: these are in them. Others are if their
            middle is.

    Returns:
        `(R · V, h, w, D)` half floats, and `(R · V, M, 4)`, NaN where a box is not in the view;
        without views that have none.
    """
    targets = relative_boxes(boxes[:, None], places[:, :, None])  # (R, V, M, 4)
    middle = (targets[..., :2] + targets[..., 2:]) / 2
    elsewhere = np.any((middle < 0) | (middle > 1), axis=-1)
    if own is not None:
        elsewhere[np.arange(len(own)), :, own] = False
    targets[elsewhere] = np.nan
    turned = rng.uniform(size=(*places.shape[:2], 1)) < 0.5
    targets = np.where(turned[..., None], mirrored(targets), targets)
    places = np.where(turned, places[..., [0, 3, 2, 1]], places)  # from right to left
    viewer = make_viewer(trunk, photos, places.shape[1], size)
    features = see(viewer, photos, places, description="Seeing views")
    features = features.reshape(-1, *features.shape[2:])
    targets = targets.reshape(-1, *targets.shape[2:])
    some = ~np.isnan(targets[..., 0]).all(axis=1)
    return (features, targets) if some.all() else (features[some], targets[some])


def vote_loss(targets, votes, span=None):
    """Return how far votes are from targets of which any is right, `(B,)`.

    1. The positions that show some of a target vote for it: its box is the mean of theirs, by how
       much each counts. `box_loss` of the nearest target.
    2. `PLACED` times the cross entropy of where it is: −log of the share of all votes that the
       positions have that show a target.

    Where a view shows two places that may be the object, the votes have two peaks. A loss of the
    mean of all votes would put one box between them.

    Args:
        targets: `(B, M, 4)`, `y0 x0 y1 x1` in the view, NaN where there are fewer.
        votes: `(B, h, w, 5)`, see `cast_votes`.
        span: the localizer's.

    Source: the positions that show an object learn its box in Tian et al., "FCOS" (ICCV 2019).
    """
    counts, boxes = cast_votes(votes, span)  # (B, P), (B, P, 4)
    height, width = votes.shape[1:3]
    centers = ops.reshape(cell_centers(height, width), (-1, 2))  # (P, 2)
    half_cell = np.array([0.5 / height, 0.5 / width], "float32")
    losses, shown = [], 0.0
    for target in ops.unstack(targets, axis=1):
        there = ops.logical_not(ops.isnan(target[:, :1]))  # (B, 1)
        # The gradient of what is not chosen is 0 times it: NaN must not come in.
        target = ops.where(there, target, 0.5)
        low, high = ops.split(target[:, None], 2, axis=-1)  # (B, 1, 2)
        outside = ops.maximum(low - centers, centers - high) - half_cell  # (B, P, 2)
        shows = ops.logical_and(ops.max(outside, axis=-1) <= 0.0, there)
        shows = ops.cast(shows, counts.dtype)  # (B, P)
        weights = ops.expand_dims((counts + 1e-9) * shows, -1)
        box = ops.sum(weights * boxes, axis=1) / ops.maximum(ops.sum(weights, axis=1), 1e-12)
        losses.append(ops.where(there[:, 0], box_loss(target, box), 1e9))
        shown = ops.maximum(shown, shows)
    placed = -ops.log(ops.sum(counts * shown, axis=-1) + 1e-7)
    return ops.min(ops.stack(losses, axis=1), axis=1) + PLACED * placed


class Rows:
    """Some rows of an array, which may be on disk: only those that are asked for are read."""

    def __init__(self, array, rows):
        self.array, self.rows = array, rows
        self.shape, self.dtype = (len(rows), *array.shape[1:]), array.dtype

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        return self.array[self.rows[index]]


def fit_on_features(localizer, batches, epochs, learning_rate):
    """Train a localizer on batches of features and boxes, behind a progress bar.

    Args:
        localizer: a `BoxLocalizer`.
        batches: `Batches`.
        epochs: times to go through them.
        learning_rate: the first step's; it falls to 0 as a cosine.

    Returns:
        The `keras.callbacks.History` of the training.
    """
    inputs = [keras.Input(features.shape[1:]) for features, _ in batches.groups]
    if not localizer.built:
        localizer.build(inputs[0].shape)
    votes = [localizer.votes(each) for each in inputs]

    def loss(targets, votes):
        return vote_loss(targets, votes, localizer.span)

    rate = keras.optimizers.schedules.CosineDecay(learning_rate, epochs * len(batches))
    model = keras.Model(inputs, votes)
    weights = [1.0] if len(inputs) == 1 else [1 - GLANCED, GLANCED]
    model.compile(keras.optimizers.AdamW(rate), [loss] * len(inputs), loss_weights=weights)
    with tqdm(total=epochs, desc="Learning where", unit="epoch", disable=None) as bar:
        progress = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: bar.update())
        return model.fit(batches, epochs=epochs, callbacks=[progress], shuffle=False, verbose=0)
