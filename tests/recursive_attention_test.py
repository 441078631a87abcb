import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import BrightLocalizer, spots, tensorflow_only
from keras import ops

from rra_keras import BoxLocalizer, RecursiveAttention
from rra_keras.layers import CenterLocalizer
from rra_keras.layers.boxes import snap_box
from rra_keras.layers.fixations import distinct, fixation_boxes
from rra_keras.layers.recursive_attention import FRAMED, VIEW_MARGIN, refinements_for


def identity():
    """A trunk that sees what is there."""
    image = keras.Input((None, None, 3))
    return keras.Model(image, keras.layers.Identity()(image))


def attend(images, localizer=None, **options):
    options = {"glance_size": 32, "max_refinements": 3} | options
    layer = RecursiveAttention(identity(), localizer or BrightLocalizer(), **options)
    outputs = layer(ops.convert_to_tensor(images, "float32"))
    return {name: np.asarray(value) for name, value in outputs.items()}


# === Fixations ===


FAR = np.full((9, 2), 2.0, "float32")  # positions that are inside no box


def test_positions_whose_boxes_overlap_vote_for_one_place():
    boxes = [[0.0, 0.0, 0.4, 0.4], [0.0, 0.0, 0.4, 0.5], [0.6, 0.6, 0.9, 0.9], [0.0, 0.0, 0.5, 0.4]]
    counts = np.array([[0.4, 0.1, 0.3, 0.2]], "float32")
    found, votes = fixation_boxes(counts, np.array([boxes], "float32"), FAR[:4], 3)
    # The mean of three, by 0.4, 0.1 and 0.2; then the other one; then nothing is left.
    np.testing.assert_allclose(found[0, 0], [0, 0, 0.4 + 0.1 * 2 / 7, 0.4 + 0.1 / 7], atol=1e-6)
    np.testing.assert_allclose(found[0, 1], boxes[2], atol=1e-6)
    np.testing.assert_allclose(votes, [[0.7, 0.3, 0.0]], atol=1e-6)
    assert np.isfinite(found).all()


def test_positions_inside_the_box_vote_for_the_same_object():
    """Each end of a long object votes for what it sees; together they box the whole."""
    boxes = np.array([[[0.4, 0.0, 0.6, 0.8], [0.4, 0.7, 0.6, 1.0], [0.0, 0.0, 0.1, 0.1]]])
    positions = np.array([[0.5, 0.4], [0.5, 0.75], [0.05, 0.05]], "float32")
    counts = np.array([[0.5, 0.3, 0.2]], "float32")
    found, votes = fixation_boxes(counts, np.float32(boxes), positions, 2)
    np.testing.assert_allclose(found[0], [[0.4, 0.2625, 0.6, 0.875], boxes[0, 2]], atol=1e-6)
    np.testing.assert_allclose(votes, [[0.8, 0.2]], atol=1e-6)


def test_equal_votes_for_one_box_are_that_box():
    boxes = np.tile(np.array([0.2, 0.1, 0.6, 0.7], "float32"), (2, 9, 1))
    found, votes = fixation_boxes(np.full((2, 9), 1 / 9, "float32"), boxes, FAR, 2)
    np.testing.assert_allclose(found[:, 0], boxes[:, 0], atol=1e-6)
    np.testing.assert_allclose(votes, [[1, 0]] * 2, atol=1e-6)


def test_what_hardly_any_vote_is_for_is_no_place_and_the_last():
    boxes = [[0.0, 0.0, 0.2, 0.2], [0.3, 0.3, 0.5, 0.5], [0.6, 0.6, 0.8, 0.8], [0.8, 0.0, 1.0, 0.2]]
    counts = np.array([[0.99, 0.006, 0.004, 0.0]], "float32")
    _, votes = fixation_boxes(counts, np.array([boxes], "float32"), FAR[:4], 4)
    np.testing.assert_allclose(votes, [[0.99, 0.006, 0, 0]], atol=1e-6)
    # Two positions vote for the last place, and more than for the one before it.
    counts = np.array([[0.9906, 0.0034, 0.003, 0.003]], "float32")
    boxes[3] = boxes[2]
    _, votes = fixation_boxes(counts, np.array([boxes], "float32"), FAR[:4], 3)
    np.testing.assert_allclose(votes, [[0.9906, 0, 0]], atol=1e-6)


def test_a_place_counts_where_it_is_voted_for_and_apart_from_all_before():
    first, near, apart = [0, 0, 0.4, 0.4], [0, 0, 0.4, 0.5], [0.5, 0.5, 0.9, 0.9]
    part, around = [0.1, 0.1, 0.2, 0.2], [0, 0, 0.9, 0.9]
    boxes = [[first, near, apart, apart], [first, apart, near, near], [first, part, around, part]]
    votes = np.array([[0.5, 0.3, 0.2, 0.1], [0.7, 0.3, 0.0, 0.0], [0.4, 0.3, 0.2, 0.1]], "float32")
    found = distinct(np.array(boxes, "float32"), votes)
    np.testing.assert_array_equal(found, [[1, 0, 1, 0], [1, 1, 0, 0], [1, 0, 1, 0]])


# === The recursion ===


@pytest.mark.parametrize(("side", "needed"), [(40, 0), (32, 1), (20, 2)])
def test_it_closes_in_until_the_object_takes_most_of_its_view(side, needed):
    seen = attend(spots(side))
    np.testing.assert_array_equal(seen["refinements"], [[needed]] * 2)
    for k in range(needed, 3):  # what it does not need leaves the box as it is
        np.testing.assert_array_equal(seen["found"][:, 0, k + 1], seen["found"][:, 0, needed])
    np.testing.assert_array_equal(seen["boxes"], seen["found"][:, :, -1])
    view = seen["views"][:, 0, needed - 1] if needed else np.tile([0, 0, 1, 1], (2, 1))
    sides = (seen["boxes"][:, 0] / 1.0)[:, 2:] - seen["boxes"][:, 0, :2]
    assert ((sides / (view[:, 2:] - view[:, :2])).max(axis=1) >= FRAMED - 0.1).all()


def test_a_closer_view_is_the_box_grown_by_a_share_of_the_view_before():
    seen = attend(spots(8))
    box, view = seen["found"][:, 0, 0], np.array([0, 0, 1, 1])
    for k in range(2):
        reach = 0.5 * VIEW_MARGIN * (view[..., 2:] - view[..., :2])
        view = np.concatenate([box[:, :2] - reach, box[:, 2:] + reach], axis=-1).clip(0, 1)
        view = np.asarray(snap_box(view))
        np.testing.assert_allclose(seen["views"][:, 0, k], view, atol=1e-6)
        box = seen["found"][:, 0, k + 1]


def test_the_glance_may_be_larger_than_the_views():
    seen = attend(spots(8), glance_size=64, view_size=16)
    assert seen["glance"].shape == (2, 64, 64, 3)
    # What a glance of four times the pixels finds needs a quarter of the margin.
    box, reach = seen["found"][:, 0, 0], 0.5 * VIEW_MARGIN / 4
    np.testing.assert_allclose(box, [[8, 16, 16, 24], [20, 12, 28, 20]] / np.float32(64), atol=1e-6)
    view = np.concatenate([box[:, :2] - reach, box[:, 2:] + reach], axis=-1)
    np.testing.assert_allclose(seen["views"][:, 0, 0], snap_box(view), atol=1e-6)


def test_each_photo_ends_by_itself():
    both = np.concatenate([spots(40)[:1], spots(20)[:1]])
    np.testing.assert_array_equal(attend(both)["refinements"][:, 0], [0, 2])


def test_without_refinements_the_glance_has_the_word():
    seen = attend(spots(5), max_refinements=0)
    assert "views" not in seen
    np.testing.assert_array_equal(seen["boxes"], seen["found"][:, :, 0])


def test_places_begin_with_the_most_voted_however_many_there_are(batch):
    localizer = BoxLocalizer(filters=(4,), name="localizer")
    localizer.build((None, 32, 32, 3))
    rng = np.random.default_rng(1)
    localizer.set_weights([rng.normal(0, 0.03, w.shape) for w in localizer.weights])
    images = batch[0].astype("float32")
    one = attend(images, localizer, max_fixations=1)
    several = attend(images, localizer, max_fixations=3)
    assert one["boxes"].shape == (9, 1, 4)
    assert several["boxes"].shape == (9, 3, 4)
    np.testing.assert_allclose(one["boxes"], several["boxes"][:, :1], atol=1e-5)
    np.testing.assert_array_equal(one["distinct"], 1)
    assert (np.diff(several["votes"], axis=1)[:, 0] <= 1e-6).mean() > 0.5
    assert (several["votes"].sum(axis=1) <= 1 + 1e-5).all()
    glance = localizer.propose(several["glance"], 3)
    np.testing.assert_allclose(several["found"][:, :, 0], np.clip(glance[0], 0, 1), atol=1e-5)


def test_training_makes_one_fixation(batch):
    images = batch[0].astype("float32")
    layer = RecursiveAttention(identity(), BoxLocalizer(), 32, max_fixations=3)
    assert layer(images, training=True)["boxes"].shape == (9, 1, 4)
    assert layer(images, training=False)["boxes"].shape == (9, 3, 4)


def test_it_works_in_a_functional_model_of_ones_own(batch, tmp_path):
    images = keras.Input((64, 64, 3))
    where = RecursiveAttention(identity(), CenterLocalizer(0.5), 16, max_refinements=1)(images)
    model = keras.Model(images, [where["boxes"], where["refinements"]])
    boxes, refinements = model.predict(batch[0], verbose=0)
    np.testing.assert_array_equal(refinements, 1)  # half of the photo is less than six tenths
    np.testing.assert_allclose(boxes[:, 0], [[0.3, 0.3, 0.7, 0.7]] * 9, atol=0.06)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras").predict(batch[0], verbose=0)
    np.testing.assert_array_equal(again[0], boxes)


@pytest.mark.parametrize(
    ("size", "refinements"), [(128, 1), (448, 1), (449, 2), (896, 2), (1344, 3), (1792, 3)]
)
def test_large_photos_may_need_more_refinements(size, refinements):
    assert refinements_for(size) == refinements


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("glance_size", 0),
        ("max_refinements", -1),
        ("max_fixations", 0),
    ],
)
def test_numbers_out_of_range_are_named(name, value):
    with pytest.raises(ValueError, match=rf"`{name}`.*Received: {name}={value}"):
        RecursiveAttention(identity(), BoxLocalizer(), **{name: value})


@tensorflow_only("its graph")
def test_graph_has_neither_loops_nor_slices_that_drop_an_axis_of_places():
    layer = RecursiveAttention(identity(), BoxLocalizer((4,)), 32, 2, 3, crop_method="gather")
    layer(np.zeros((1, 64, 64, 3), "float32"))
    graph = tf.function(lambda x: layer(x)).get_concrete_function(tf.TensorSpec((1, 64, 64, 3)))
    assert not [op for op in graph.graph.get_operations() if "While" in op.type]
