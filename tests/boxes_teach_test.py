"""Boxes, of all photos or of a few, teach the localizer."""

import dataclasses
import json
import types

import keras
import numpy as np
import pytest
from conftest import gradient
from keras import ops

from rra_keras import BoxLocalizer, discovery, find_objects
from rra_keras.discovery import fit, search
from rra_keras.discovery.objects import Objects
from rra_keras.discovery.probe import Choice
from rra_keras.layers.boxes import box_loss
from rra_keras.measures.boxes import intersection_over_union
from rra_keras.runs import Run
from rra_keras.training.objects import describe


def boxes_of(*edges):
    return np.array(edges, "float32")


NONE = np.full(4, np.nan, "float32")
EVEN = np.zeros((1, 4, 4, 5), "float32")  # each position votes for a quarter on each of its sides


def loss_of(votes, *targets):
    return float(fit.vote_loss(ops.convert_to_tensor(np.stack(targets)[None]), votes)[0])


def test_the_positions_that_show_an_object_learn_where_and_what_it_is():
    # It shows in the four cells of the upper left: their share of even votes is a quarter, and
    # their mean box is half a side long, around the middle of them.
    target = boxes_of(0.1, 0.1, 0.4, 0.4)
    expected = box_loss(target, boxes_of(0.0, 0.0, 0.5, 0.5)) + fit.PLACED * np.log(4)
    assert loss_of(EVEN, target) == pytest.approx(float(expected), abs=1e-5)
    one = EVEN.copy()
    one[0, 0, 0, 0] = 20  # the first of them has all votes
    around_it = boxes_of(-0.125, -0.125, 0.375, 0.375)
    assert loss_of(one, target) == pytest.approx(float(box_loss(target, around_it)), abs=1e-5)


def test_an_object_smaller_than_a_cell_shows_in_it():
    target = boxes_of(0.3, 0.55, 0.32, 0.58)
    center = boxes_of(0.125, 0.375, 0.625, 0.875)  # a quarter around y 0.375, x 0.625
    expected = box_loss(target, center) + fit.PLACED * np.log(16)
    assert loss_of(EVEN, target) == pytest.approx(float(expected), abs=1e-5)


def test_any_of_several_boxes_is_right_and_the_nearest_counts():
    near, far = boxes_of(0.1, 0.1, 0.4, 0.4), boxes_of(0.55, 0.6, 0.9, 0.95)
    alone = [loss_of(EVEN, each) - fit.PLACED * np.log(4) for each in (near, far)]
    both = min(alone) + fit.PLACED * np.log(2)  # half of the positions show one or the other
    assert loss_of(EVEN, near, far) == pytest.approx(both, abs=1e-5)
    assert loss_of(EVEN, NONE, far) == pytest.approx(alone[1] + fit.PLACED * np.log(4), abs=1e-5)


def test_a_missing_box_moves_nothing():
    target = ops.convert_to_tensor(np.stack([NONE, boxes_of(0.1, 0.1, 0.4, 0.5)])[None])
    slope = gradient(lambda votes: ops.sum(fit.vote_loss(target, votes)), EVEN + 0.1)
    assert np.isfinite(slope).all()
    assert np.abs(slope).max() > 0.01


def test_one_box_in_either_shape_teaches_the_same(monkeypatch):
    photos = np.random.default_rng(0).integers(0, 255, (6, 32, 32, 3)).astype("uint8")
    boxes = np.tile(boxes_of(0.2, 0.3, 0.6, 0.8), (6, 1))
    inputs = keras.Input((16, 16, 3))
    trunk = keras.Model(inputs, keras.layers.AveragePooling2D(4)(inputs))
    weights = []
    for given in (boxes, boxes[:, None], np.pad(boxes[:, None], [(0, 0), (0, 1), (0, 0)])):
        if given.ndim == 3 and given.shape[1] == 2:
            given[:, 1] = np.nan
        keras.utils.set_random_seed(0)
        localizer = BoxLocalizer(filters=(4,))
        discovery.fit_localizer(localizer, trunk, photos, given, size=16, epochs=2)
        weights.append(localizer.get_weights())
    for one, two, three in zip(*weights, strict=True):
        np.testing.assert_allclose(one, two, atol=1e-6)
        np.testing.assert_allclose(one, three, atol=1e-5)


def test_a_larger_glance_teaches_beside_the_views():
    photos, _, boxes = marked(24)
    inputs = keras.Input((None, None, 3))
    trunk = keras.Model(inputs, keras.layers.AveragePooling2D(4)(inputs))
    keras.utils.set_random_seed(0)
    localizer = BoxLocalizer(filters=(16,), span=4)

    def overlaps():
        for side in (32, 16):
            whole = ops.image.resize(photos.astype("float32"), (side, side), antialias=True)
            found = np.asarray(localizer(trunk(whole)))
            yield np.mean(intersection_over_union(found, boxes))

    before = list(overlaps())
    fit.fit_localizer(localizer, trunk, photos, boxes, 16, epochs=120, glance_size=32)
    for learned, start in zip(overlaps(), before, strict=True):
        assert start < 0.2 < 0.3 < learned


def test_a_batch_has_an_eighth_as_many_glances_as_views():
    def numbered(count, first):
        values = first + np.arange(count, dtype="float32")
        return values[:, None], np.tile(values[:, None, None], (1, 1, 4))

    batches = fit.Batches(*numbered(50, 0), 16, 0, beside=numbered(3, 100))
    assert len(batches) == 3
    seen = [batches[step] for step in range(3)]
    for features, boxes in seen:
        assert [len(each) for each in features] == [16, 2]
        for values, targets in zip(features, boxes, strict=True):
            np.testing.assert_array_equal(values[:, 0], targets[:, 0, 0])
    glances = np.concatenate([features[1][:, 0] for features, _ in seen])
    assert np.unique(glances, return_counts=True)[1].tolist() == [2, 2, 2]  # each in turn


def test_glances_are_the_photo_and_most_of_it():
    seen = fit.glances(50, 4, np.random.default_rng(0))
    np.testing.assert_array_equal(seen[:, 0], np.tile([0, 0, 1, 1], (50, 1)))
    sides = seen[..., 2:] - seen[..., :2]
    np.testing.assert_allclose(sides[..., 0], sides[..., 1], atol=1e-6)
    assert 0.7 <= sides.min() < 0.75
    assert seen.min() >= 0
    assert seen.max() <= 1


def test_given_boxes_weigh_half_of_those_that_were_found():
    boxes = np.full((5, 2, 4), np.nan, "float32")
    boxes[1] = [[0, 0, 0.5, 0.5], [0.5, 0.5, 1, 1]]
    found = np.tile(boxes_of(0.2, 0.2, 0.4, 0.4), (5, 1))
    joined, rows = search.beside(boxes, np.array([1]), found, np.array([0, 2, 3, 4]))
    assert rows.tolist() == [1, 1, 0, 2, 3, 4]
    np.testing.assert_array_equal(joined[:2], boxes[[1, 1]])
    np.testing.assert_array_equal(joined[2:, 0], found[:4])
    assert np.isnan(joined[2:, 1]).all()


def marked(count, seed=0):
    """Photos with one bright square each, of two colors by class; their boxes."""
    rng = np.random.default_rng(seed)
    photos = rng.integers(0, 60, (count, 64, 64, 3)).astype("uint8")
    boxes = np.empty((count, 4), "float32")
    for i in range(count):
        y, x = rng.integers(0, 40, 2)
        photos[i, y : y + 20, x : x + 20, i % 2] = 250
        boxes[i] = np.array([y, x, y + 20, x + 20]) / 64
    return photos, np.arange(count) % 2, boxes


@pytest.mark.parametrize("known", [48, 12])
def test_boxes_of_all_or_of_some_photos_are_found_in_the_others(known):
    photos, labels, boxes = marked(48)
    given = np.full_like(boxes, np.nan)
    given[:known] = boxes[:known]
    objects = find_objects(
        photos,
        labels,
        "tiny",
        weights="random",
        train_from="block_2",
        glance_size=64,
        boxes=given,
        one_object=True,
    )
    assert objects.name == search.GIVEN
    np.testing.assert_array_equal(objects.boxes[:known], boxes[:known])
    assert (objects.confidence[:known] == 1).all()
    assert set(objects.choice.accuracy) == {"given", "frame"}
    assert objects.localizer is not None
    assert objects.rounds == ()


@pytest.mark.parametrize(
    ("boxes", "said"),
    [
        (np.zeros((3, 4)), r"\(4, 4\) or \(4, M, 4\)"),
        (np.full((4, 4), np.nan), "Received: none"),
        (np.tile([0.5, 0.1, 0.2, 0.9], (4, 1)), "y0 < y1"),
        (np.tile([0.1, 0.1, 0.2, 90.0], (4, 1)), r"in \[0, 1\]"),
    ],
)
def test_boxes_that_are_none_are_refused(boxes, said):
    photos, labels, _ = marked(4)
    with pytest.raises(ValueError, match=r"`boxes`\. Expected .*" + said):
        find_objects(photos, labels, "tiny", weights="random", boxes=boxes)


def objects_with(consistency, localizer=(), accuracy=None):
    return Objects(
        boxes=np.tile(boxes_of(0.2, 0.2, 0.4, 0.4), (3, 1)),
        confidence=np.ones(3, "float32"),
        name="given",
        choice=Choice("given", accuracy or {}, {}),
        crop_size=(160, 320),
        plain_size=288,
        localizer=localizer,
        arguments_used={},
        consistency=consistency,
    )


def test_uncertain_objects_are_told_with_what_helps_and_sure_ones_are_not(tmp_path):
    model = types.SimpleNamespace(crop_size=(160, 320), image_size=288)
    run = Run(tmp_path)
    said = describe(objects_with(0.58), model, run)
    assert said.splitlines()[1] == (
        "The objects are uncertain: in 42% of the photos another place is found once they are "
        f"mirrored or moved. Look at {tmp_path / 'objects.jpg'}. Boxes in two dozen photos help, "
        f"drawn in two minutes: rra boxes {tmp_path}"
    )
    said = describe(objects_with(0.97), model, run)
    assert said == "The objects cover 4% of the photos on average: read at 160×320 pixels."


def test_photos_that_are_not_mirrored_are_told(tmp_path):
    model, run = types.SimpleNamespace(crop_size=(160, 320)), Run(tmp_path)
    objects = dataclasses.replace(objects_with(0.97), mirror=False)
    for told, lines in ((False, 1), (None, 2)):
        run.path("config.json").write_text(json.dumps({"mirror": told}))
        said = describe(objects, model, run).splitlines()
        assert len(said) == lines
    assert said[1].endswith("training does not mirror them. --mirror has it do so.")


def test_boxes_that_read_no_better_than_whole_photos_are_told(tmp_path):
    model = types.SimpleNamespace(crop_size=(160, 320), image_size=288)
    objects = objects_with(None, None, {"given": 0.4, "frame": 0.6})
    assert describe(objects, model, Run(tmp_path)).startswith(
        "Read in the given boxes, 40% of held-out photos are named rightly, as a whole 60%: "
        "training the plain backbone at 288 pixels."
    )
