import keras
import numpy as np
import pytest
from conftest import gradient
from keras import ops

from rra_keras.layers.box_localizer import BoxLocalizer, cast_votes
from rra_keras.layers.boxes import box_loss, generalized_iou, grow_box, snap_box


def array(*rows):
    return np.array(rows, "float32")


def features(batch=3, size=8, channels=5):
    return np.random.default_rng(0).normal(size=(batch, size, size, channels)).astype("float32")


@pytest.mark.parametrize(
    ("box", "margin", "grown"),
    [
        ([0.4, 0.2, 0.6, 0.6], 0.5, [0.35, 0.1, 0.65, 0.7]),
        ([0.4, 0.2, 0.6, 0.6], 0.0, [0.4, 0.2, 0.6, 0.6]),
        ([0.0, 0.5, 0.4, 1.0], 0.5, [0.0, 0.375, 0.5, 1.0]),  # at the edge inwards alone
        ([0.3, 0.3, 0.3, 0.3], 0.5, [0.3, 0.3, 0.3, 0.3]),
    ],
)
def test_grow_box(box, margin, grown):
    np.testing.assert_allclose(grow_box(array(box), margin), [grown], atol=1e-6)


@pytest.mark.parametrize(
    ("box", "snapped"),
    [
        ([0.3, 0.1, 0.61, 0.9], [19 / 64, 3 / 32, 39 / 64, 29 / 32]),  # sides 1/4 and 1/2 at least
        ([0.02, 0.03, 0.98, 0.99], [1 / 32, 1 / 32, 31 / 32, 1.0]),
        ([0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 1.0, 1.0]),
        ([0.5, 0.5, 0.501, 0.501], [0.5, 0.5, 513 / 1024, 513 / 1024]),  # as fine as it gets
    ],
)
def test_snapped_boxes_lie_on_a_grid_of_their_size(box, snapped):
    np.testing.assert_array_equal(snap_box(array(box)), [snapped])
    half = snap_box(ops.cast(array(snapped), "float16"))  # exact in half floats as well
    np.testing.assert_array_equal(half, [snapped])


def test_a_box_that_moves_a_little_is_mostly_the_same_once_snapped():
    rng = np.random.default_rng(0)
    low, side = rng.uniform(0, 0.5, (1000, 2)), rng.uniform(0.25, 0.5, (1000, 2))
    boxes = np.concatenate([low, low + side], axis=1).astype("float32")
    snapped = np.asarray(snap_box(boxes))
    assert np.abs(snapped - boxes).max() <= 0.5 / 32  # half of a sixteenth of a half
    moved = np.asarray(snap_box(boxes + rng.normal(0, 0.0005, boxes.shape).astype("float32")))
    assert np.mean((moved == snapped).all(axis=1)) > 0.85


@pytest.mark.parametrize(
    ("box", "other", "value"),
    [
        ([0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 1.0, 1.0], 1.0),
        ([0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 0.5, 0.5], 0.25),  # enclosed: IoU alone
        ([0.0, 0.0, 0.5, 0.5], [0.5, 0.5, 1.0, 1.0], -0.5),  # half of what is around both
        ([0.0, 0.0, 0.2, 1.0], [0.1, 0.0, 0.3, 1.0], 1 / 3),
    ],
)
def test_generalized_iou(box, other, value):
    np.testing.assert_allclose(generalized_iou(array(box), array(other)), [value], atol=1e-5)
    np.testing.assert_allclose(generalized_iou(array(other), array(box)), [value], atol=1e-5)


def test_loss_is_nothing_for_equal_boxes_and_grows_with_distance():
    target = array([0.2, 0.2, 0.6, 0.6])
    losses = [float(box_loss(target, target + shift)[0]) for shift in (0.0, 0.1, 0.3, 0.9)]
    assert losses[0] == pytest.approx(0, abs=1e-6)
    assert losses == sorted(losses)
    # IoU 0.09 / 0.23, all but 0.02 of 0.25 covered, and a tenth for each edge.
    assert losses[1] == pytest.approx(1 - 0.09 / 0.23 + 0.02 / 0.25 + 0.1 * 4, abs=1e-5)


@pytest.mark.parametrize(
    "box", [[0.5, 0.5, 0.5, 0.5], [0.7, 0.7, 0.3, 0.3], [0.2, 0.2, 0.6, 0.6], [3.0, 3.0, 4.0, 4.0]]
)
@pytest.mark.parametrize("target", [[0.2, 0.2, 0.6, 0.6], [0.4, 0.4, 0.4, 0.4]])
def test_loss_has_a_finite_slope(box, target):
    slope = gradient(lambda boxes: ops.sum(box_loss(array(target), boxes)), array(box))
    assert np.all(np.isfinite(slope))


def votes(cells, shape=(2, 4), others=-20.0):
    """Return votes `(1, h, w, 5)` of some cells, by row and column; the others hardly count."""
    array = np.zeros((1, *shape, 5), "float32")
    array[..., 0] = others
    for cell, numbers in cells.items():
        array[(0, *cell)] = numbers
    return array


def at(*distances):
    """Return the four numbers that stand for distances, in sides of the map."""
    share = np.array(distances)
    return np.log(share / (1 - share)) + np.log(3)


def test_a_position_votes_for_a_box_around_it():
    # The cell's center is at y 0.75, x 0.125.
    counts, boxes = cast_votes(votes({(1, 0): [20, *at(0.5, 0.1, 0.2, 0.7)]}))
    np.testing.assert_allclose(counts[0], np.arange(8) == 4, atol=1e-6)
    np.testing.assert_allclose(boxes[0, 4], [0.25, 0.025, 0.95, 0.825], atol=1e-5)


def test_votes_count_by_softmax():
    counts, _ = cast_votes(votes({(0, 0): [np.log(3), 0, 0, 0, 0], (0, 3): [0, 0, 0, 0, 0]}))
    np.testing.assert_allclose(np.asarray(counts)[0, [0, 3]], [0.75, 0.25], atol=1e-5)


def test_the_same_votes_elsewhere_are_the_same_box_elsewhere():
    numbers = [20, 0.1, -0.2, -1, -0.5]
    here, there = (
        np.asarray(cast_votes(votes({cell: numbers}, shape=(8, 8)))[1])[0, 8 * cell[0] + cell[1]]
        for cell in ((1, 2), (4, 7))
    )
    np.testing.assert_allclose(there - here, [3 / 8, 5 / 8, 3 / 8, 5 / 8], atol=1e-5)


def test_distances_can_be_measured_by_a_map_of_so_many_cells():
    small = votes({(1, 0): [20, *at(0.5, 0.1, 0.2, 0.7)]}, shape=(4, 4))
    large = votes({(1, 0): [20, *at(0.5, 0.1, 0.2, 0.7)]}, shape=(4, 8))
    own = np.asarray(cast_votes(small)[1])[0, 4]
    np.testing.assert_array_equal(np.asarray(cast_votes(small, span=4)[1])[0, 4], own)
    # Around y 0.375, x 0.0625; to the sides, four cells are half of the map.
    expected = [0.375 - 0.5, 0.0625 - 0.05, 0.375 + 0.2, 0.0625 + 0.35]
    np.testing.assert_allclose(cast_votes(large, span=4)[1][0, 8], expected, atol=1e-5)


def test_starts_at_half_of_the_photo():
    boxes = BoxLocalizer(filters=(4, 4))(features())
    np.testing.assert_allclose(boxes, np.tile([0.25, 0.25, 0.75, 0.75], (3, 1)), atol=1e-6)
    assert keras.backend.standardize_dtype(boxes.dtype) == "float32"


def test_equals_numpy():
    rng = np.random.default_rng(1)
    layer = BoxLocalizer(filters=(3, 2))
    x = features(batch=2, size=4)
    layer(x)
    layer.set_weights([rng.normal(size=w.shape).astype("float32") for w in layer.weights])
    w = [np.asarray(weight) for weight in layer.get_weights()]

    def conv(x, kernel, bias):
        x = np.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)])
        y = np.zeros((len(x), 4, 4, kernel.shape[-1]))
        for i in range(4):
            for j in range(4):
                y[:, i, j] = np.tensordot(x[:, i : i + 3, j : j + 3], kernel, 3) + bias
        return np.clip(y, 0, 6)

    y = conv(conv(x, w[0], w[1]), w[2], w[3]) @ w[4][0, 0] + w[5]  # (2, 4, 4, 5)
    counts = np.exp(y[..., :1])
    counts = counts / counts.sum(axis=(1, 2), keepdims=True)
    cells = (np.arange(4) + 0.5) / 4
    place = np.stack(np.broadcast_arrays(cells[:, None], cells), axis=-1)
    low, high = np.split(1 / (1 + 3 * np.exp(-y[..., 1:])), 2, axis=-1)
    boxes = np.concatenate([place - low, place + high], axis=-1)
    found = cast_votes(layer.votes(x))
    np.testing.assert_allclose(found[0], counts.reshape(2, 16), atol=1e-5)
    np.testing.assert_allclose(found[1], boxes.reshape(2, 16, 4), atol=1e-5)
    np.testing.assert_array_equal(layer(x), layer.propose(x, 1)[0][:, 0])


def test_config_and_weights_survive_saving(tmp_path):
    inputs = keras.Input((8, 8, 5))
    model = keras.Model(inputs, BoxLocalizer(filters=(4, 3), span=4, name="where")(inputs))
    model.set_weights([w + 0.1 for w in model.get_weights()])
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    config = again.get_layer("where").get_config()
    assert set(config) == {"name", "trainable", "dtype", "filters", "span"}
    assert (tuple(config["filters"]), config["span"]) == ((4, 3), 4)
    np.testing.assert_allclose(again(features()), model(features()))


@pytest.mark.parametrize("filters", [(), (4, 0)])
def test_refuses_filters_that_are_none(filters):
    with pytest.raises(ValueError, match=r"`filters`.*positive"):
        BoxLocalizer(filters=filters)


def test_refuses_a_span_without_a_cell():
    with pytest.raises(ValueError, match=r"`span`.*positive.*span=0"):
        BoxLocalizer(span=0)


def test_learns_a_box():
    rng = np.random.default_rng(0)
    x = np.zeros((64, 8, 8, 1), "float32")
    targets = np.zeros((64, 4), "float32")
    for i, (y, x0, h, w) in enumerate(rng.integers([0, 0, 3, 3], [3, 3, 6, 6], (64, 4))):
        x[i, y : y + h, x0 : x0 + w] = 1
        targets[i] = np.array([y, x0, y + h, x0 + w]) / 8
    keras.utils.set_random_seed(0)
    inputs = keras.Input((8, 8, 1))
    model = keras.Model(inputs, BoxLocalizer(filters=(8, 8))(inputs))
    model.compile(keras.optimizers.Adam(0.01), loss=box_loss)
    losses = model.fit(x, targets, batch_size=16, epochs=12, verbose=0).history["loss"]
    assert losses[-1] < 0.6 * losses[0]
