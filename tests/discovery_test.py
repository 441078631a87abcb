"""Where objects are: what is observed, guessed, compared and fitted."""

import keras
import numpy as np
import pytest
from conftest import tensorflow_only

from rra_keras import RRAClassifier
from rra_keras.backbones import build_encoder
from rra_keras.backbones.trunk import build_trunk
from rra_keras.discovery import colocalize, find_objects, hypotheses, probe
from rra_keras.discovery.crop_size import crop_size_for
from rra_keras.discovery.fit import (
    fit_localizer,
    mirrored,
    random_views,
    relative_boxes,
)
from rra_keras.discovery.observe import observe
from rra_keras.discovery.views import make_viewer, see
from rra_keras.layers.box_localizer import BoxLocalizer
from rra_keras.measures.boxes import whole
from rra_keras.measures.labels import one_hot

FRAME = np.array([[0.0, 0.0, 1.0, 1.0]], "float32")


@pytest.fixture(scope="module")
def encoder(backbone):
    return build_encoder(backbone, train_from="block_1", fine_features=True)


@pytest.fixture(scope="module")
def trunk(encoder):
    return build_trunk(encoder, "block_1")


def test_trunk_is_the_encoder_before_its_trainable_block(encoder, trunk, batch):
    images, _ = batch
    _, fine = encoder(images)
    assert trunk.output_shape == (None, None, None, 8)
    np.testing.assert_allclose(trunk(images), fine)  # block 0 is the last of its size
    assert not trunk.trainable_weights


def test_trunk_keeps_the_preprocessing():
    encoder = build_encoder("efficientnet_lite0", train_from="block_1", fine_features=True)
    trunk = build_trunk(encoder, "block_1")
    assert trunk.output_shape == (None, None, None, 16)
    assert "preprocess" in [layer.name for layer in trunk.layers]


def test_trunk_refuses_a_block_that_is_not_there(encoder):
    with pytest.raises(ValueError, match="train_from='block_9'"):
        build_trunk(encoder, "block_9")


def test_observe_keeps_components_and_norms(encoder, batch):
    images, _ = batch
    observed = observe(
        encoder, images, whole(len(images)), sample=4, components=5, batch_size=2, seed=1
    )
    for seen, features in zip(observed, encoder(images), strict=True):
        features = np.asarray(features)
        norms = np.linalg.norm(features, axis=-1)
        np.testing.assert_allclose(seen.norms, norms, rtol=1e-3, atol=1e-4)
        first = np.random.default_rng(1).permutation(len(images))[:4]
        basis = colocalize.principal_components(features[first].astype("float16"), 5)
        expected = colocalize.project(features, *basis)
        tolerance = 2e-2 * np.abs(expected).max()
        # A component's sign is open.
        np.testing.assert_allclose(np.abs(seen.features), np.abs(expected), atol=tolerance)


def test_observe_sees_no_more_than_the_views(encoder, batch):
    images = np.array(batch[0])
    views = np.tile(np.array([0.25, 0.0, 0.75, 0.5], "float32"), (len(images), 1))
    changed = images.copy()
    changed[:, :, 36:] = 0
    changed[:, 52:] = 0
    for seen, same in zip(
        observe(encoder, images, views), observe(encoder, changed, views), strict=True
    ):
        np.testing.assert_array_equal(seen.features, same.features)


def test_views_are_crops_seen_by_the_model(trunk, batch):
    images, _ = batch
    viewer = make_viewer(trunk, images, 1, 64)
    whole = see(viewer, images, np.tile(FRAME, (9, 1, 1)), batch_size=4)
    np.testing.assert_allclose(whole[:, 0], trunk(images.astype("float32")), atol=1e-2)
    views = np.tile(FRAME, (9, 2, 1))
    views[:, 1] = [0, 1, 1, 0]
    viewer = make_viewer(trunk, images, 2, 64, pool=True)
    both = see(viewer, images, views, batch_size=4)
    assert both.shape == (9, 2, 8)
    mirrored = np.asarray(trunk(images[:, :, ::-1].astype("float32")))
    np.testing.assert_allclose(both[:, 0], whole[:, 0].mean((1, 2), "float32"), atol=1e-2)
    np.testing.assert_allclose(both[:, 1], mirrored.mean(axis=(1, 2)), atol=1e-2)


def test_cross_fitting_never_sees_its_own_target():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(30, 4))
    fold = np.arange(30) % 3
    kernel = probe.linear_kernel(features)
    targets = features @ rng.normal(size=(4, 2))
    predicted = probe.cross_fitted(kernel, targets, fold, 1e-4)
    np.testing.assert_allclose(predicted, targets, atol=0.05)
    changed = targets.copy()
    changed[fold == 1] += 100
    again = probe.cross_fitted(kernel, changed, fold, 1e-4)
    np.testing.assert_allclose(again[fold == 1], predicted[fold == 1], atol=1e-5)


def test_folds_are_even_within_classes():
    labels = np.repeat([2, 5, 9], [9, 6, 3])
    fold = probe.folds_by_class(labels, 3, 0)
    for label, each in ((2, 3), (5, 2), (9, 1)):
        np.testing.assert_array_equal(np.bincount(fold[labels == label]), [each] * 3)


def test_constant_features_tell_nothing_but_stay_finite():
    labels = np.arange(12) % 2
    fold = probe.folds_by_class(labels, 3, 0)
    scores = probe.linear_probe(np.ones((12, 4)), one_hot(labels), fold)
    np.testing.assert_allclose(scores, 0.5, atol=1e-6)


def test_boxes_regressed_stay_inside_the_frame():
    boxes = probe.inside_frame(np.array([[-1, 0.5, 2, 0.5], [0.99, 0.99, 3, 3]], "float32"))
    np.testing.assert_allclose(boxes[0], [0, 0.45, 1, 0.55])
    assert np.all((boxes >= 0) & (boxes <= 1))
    assert np.all(boxes[:, 2:] - boxes[:, :2] >= 0.1 - 1e-6)


def small_marks(count=48, size=64):
    """Gray noise with a small square at one of four places, striped one way or the other."""
    rng = np.random.default_rng(0)
    photos = rng.integers(90, 110, (count, size, size, 3)).astype("uint8")
    labels = np.arange(count) % 2
    boxes = np.zeros((count, 4), "float32")
    stripes = np.zeros((16, 16), "uint8")
    stripes[::4] = stripes[1::4] = 255
    for i, (y, x) in enumerate(rng.integers(0, 2, (count, 2)) * 32 + 8):
        photos[i, y : y + 16, x : x + 16] = (stripes if labels[i] else stripes.T)[..., None]
        boxes[i] = np.array([y, x, y + 16, x + 16]) / size
    return photos, labels, boxes


def test_probe_ranks_hypotheses_and_always_tries_the_frame(encoder, trunk):
    photos, labels, boxes = small_marks()
    wrong = np.tile(np.array([0.4, 0.4, 0.6, 0.6], "float32"), (len(photos), 1))
    choice = probe.choose_hypothesis(
        encoder,
        trunk,
        photos,
        one_hot(labels),
        {"object": (boxes, whole(len(photos))), "middle": (wrong, whole(len(photos)))},
        size=32,
    )
    assert set(choice.accuracy) == set(choice.area) == {"frame", "object", "middle"}
    assert choice.name == "frame"  # its own stripes tell the whole photo as well
    assert choice.area["frame"] == 1
    assert not choice.sure  # it is not ahead of itself
    assert choice.accuracy["object"] > choice.accuracy["middle"]
    alone = probe.choose_hypothesis(encoder, trunk, photos, one_hot(labels), {}, size=32)
    assert alone.name == "frame"


@pytest.mark.parametrize(
    ("frame", "first", "second", "best"),
    [
        (50, 51, 52, "first"),  # more than the frame; the second is not ahead beyond chance
        (50, 51, 60, "second"),
        (50, 50, 50, "frame"),  # as many: the whole photo costs no finding
        (50, 49, 51, "frame"),  # the guess that counts is the first
        (50, None, None, "frame"),
    ],
)
def test_a_guess_wins_that_names_more_photos_than_the_frame(frame, first, second, best):
    right = {"frame": frame, "first": first, "second": second}
    right = {name: np.arange(100) < count for name, count in right.items() if count is not None}
    assert probe._best(right) == best


def test_beats_is_a_paired_comparison():
    right = np.arange(100) < 60
    assert not probe.beats(right, right)
    assert probe.beats(right, np.arange(100) < 55)  # right in 5 more, wrong in none: 2.2 errors
    assert not probe.beats(right, np.arange(100) < 56)  # 4 more: 2 errors
    assert not probe.beats(right, (np.arange(100) >= 40) & (np.arange(100) < 95))
    half = np.where(np.arange(100) < 55, 1, np.where(np.arange(100) < 60, 0.5, 0))
    assert probe.beats(right, half)  # ahead by half in 5: 2.2 errors


def test_it_looks_inside_of_what_it_found_until_that_fills_its_view(monkeypatch):
    """Objects a tenth as long as the photo, of which each look finds a box twice as long."""
    truth = np.array([[0.2, 0.3, 0.3, 0.4], [0.6, 0.1, 0.7, 0.2], [0.4, 0.4, 0.5, 0.5]])
    seen = []

    def observe(encoder, photos, views, seed):
        seen.append(views)
        return views, None

    def hypothesize(views, _, labels):
        center, side = (truth[:, :2] + truth[:, 2:]) / 2, views[:, 2:] - views[:, :2]
        half = np.maximum(0.05, 0.15 * side)
        boxes = np.concatenate([center - half, center + half], axis=1)
        return {"set": (relative_boxes(boxes, views), np.ones(3)), "norm": (FRAME, np.ones(3))}

    monkeypatch.setattr(hypotheses, "observe", observe)
    monkeypatch.setattr(hypotheses, "hypothesize", hypothesize)
    guesses = hypotheses.guess(None, np.empty((3, 8, 8, 3)))
    assert list(guesses) == ["set", "norm", "set_2", "norm_2", "set_3", "norm_3"]
    sides = [views[:, 2] - views[:, 0] for views in seen]
    np.testing.assert_allclose(sides, [[1] * 3, [0.45] * 3, [0.2025] * 3], atol=1e-5)
    np.testing.assert_allclose(guesses["set_3"].boxes, truth, atol=1e-5)
    np.testing.assert_array_equal(guesses["set_3"].views, seen[2])


@pytest.mark.parametrize("labeled", [True, False])
def test_find_objects_returns_a_box_for_each_photo(backbone, labeled):
    photos, labels, _ = small_marks(24)
    objects = find_objects(photos, labels if labeled else None, backbone, glance_size=32)
    assert objects.boxes.shape == (len(photos), 4)
    assert np.all((objects.boxes >= 0) & (objects.boxes <= 1))
    assert np.all((objects.confidence >= 0) & (objects.confidence <= 1))
    if labeled:
        assert objects.name == objects.choice.name
    assert objects.name.partition("_")[0] in (
        {"frame", "set", "norm", "class"} if labeled else {"set"}
    )
    assert objects.whole == (objects.name == "frame")


def test_labels_that_no_two_photos_share_say_nothing(backbone):
    photos, _, _ = small_marks(4)
    objects = find_objects(photos, np.arange(4), backbone, glance_size=32)
    assert objects.name.startswith("set")
    assert objects.choice is None


@tensorflow_only("the same by JAX, which takes long to compile it")
def test_the_same_photos_and_seed_give_the_same_objects(backbone):
    photos, labels, _ = small_marks(12)
    found = []
    for _ in range(2):
        keras.utils.set_random_seed(0)
        found.append(find_objects(photos, labels, backbone, glance_size=32, one_object=True))
    np.testing.assert_array_equal(found[0].boxes, found[1].boxes)
    for one, other in zip(found[0].localizer, found[1].localizer, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_what_was_found_makes_the_model(backbone):
    photos, labels, _ = small_marks(12)
    objects = find_objects(photos, labels, backbone, glance_size=32, one_object=True)
    model = RRAClassifier.from_preset("edge", 2, objects=objects)
    assert (model.crop_size, model.image_size) == (objects.crop_size, 64)
    for one, other in zip(objects.localizer, model.attention.localizer.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(ValueError, match=r"`image_size`.*found with it.*image_size=128"):
        RRAClassifier.from_preset("edge", 2, objects=objects, image_size=128)
    plain = RRAClassifier.from_preset("edge", 2, objects=objects, localizer=None)
    assert plain.attention is None


def test_where_the_whole_is_read_better_the_model_is_the_plain_backbone(backbone):
    photos, labels, _ = small_marks(12)
    objects = find_objects(photos, labels, backbone, glance_size=32)
    assert objects.whole
    model = RRAClassifier.from_preset("edge", 2, objects=objects)
    assert model.attention is None
    assert model.image_size == objects.plain_size
    assert model.image_size % 32 == 0


@pytest.mark.parametrize(
    ("photos", "labels", "name"),
    [
        (np.zeros((4, 64, 64)), None, "photos"),
        (np.zeros((4, 64, 32, 3)), None, "photos"),
        (np.zeros((4, 64, 64, 3)), [0, 1], "labels"),
    ],
)
def test_what_are_no_photos_or_labels_is_refused(backbone, photos, labels, name):
    with pytest.raises(ValueError, match=rf"`{name}`"):
        find_objects(photos, labels, backbone)


def test_random_views_hold_the_object():
    boxes = np.array([[0.3, 0.4, 0.5, 0.8], [0, 0, 0.2, 0.2]], "float32")
    views = random_views(boxes, 50, np.random.default_rng(0), margins=(0.1, 1.0))
    np.testing.assert_array_equal(views[:, 0], np.repeat(FRAME, 2, axis=0))
    assert np.all(views[..., :2] <= boxes[:, None, :2] + 1e-6)
    assert np.all(views[..., 2:] >= boxes[:, None, 2:] - 1e-6)
    assert np.all((views >= 0) & (views <= 1))
    sides = (views[..., 2:] - views[..., :2])[0, 1:] / (boxes[0, 2:] - boxes[0, :2])
    assert 1.1 <= sides.min() < 1.2 < 1.8 < sides.max() <= 2.0


def test_far_views_hold_the_object_from_anywhere_up_to_the_whole():
    boxes = np.array(
        [[0.1, 0.2, 0.15, 0.3], [0.9, 0.9, 1.0, 0.96], [0.0, 0.1, 0.9, 1.0]], "float32"
    )
    near = random_views(boxes, 4, np.random.default_rng(0))
    views = random_views(boxes, 4, np.random.default_rng(0), far=500)
    np.testing.assert_array_equal(views[:, :4], near)
    far = views[:, 4:]
    assert far.shape == (3, 500, 4)
    assert far.min() >= 0
    assert far.max() <= 1
    assert np.all(far[..., :2] <= boxes[:, None, :2] + 1e-6)
    assert np.all(far[..., 2:] >= boxes[:, None, 2:] - 1e-6)
    sides = far[..., 2:] - far[..., :2]
    np.testing.assert_allclose(sides[..., 0], sides[..., 1], atol=1e-6)
    assert sides[0].min() == pytest.approx(0.25, abs=0.01)  # 2.5 times the longer side
    assert np.median(sides[0]) == pytest.approx(0.5, abs=0.06)  # half-way, by ratio
    assert sides[0].max() == pytest.approx(1, abs=0.01)
    np.testing.assert_array_equal(sides[2], 1)


def test_relative_and_mirrored_boxes():
    box, view = np.array([0.25, 0.5, 0.5, 0.75]), np.array([0.0, 0.5, 0.5, 1.0])
    np.testing.assert_allclose(relative_boxes(box, view), [0.5, 0, 1, 0.5])
    np.testing.assert_allclose(mirrored(box), [0.25, 0.25, 0.5, 0.5])


def fitted(trunk, photos, boxes, **options):
    keras.utils.set_random_seed(0)
    localizer = BoxLocalizer(filters=(8, 8))
    options = {"size": 32, "views": 2, "epochs": 3, "batch_size": 8} | options
    history = fit_localizer(localizer, trunk, photos, boxes, **options)
    return localizer, history.history["loss"]


def test_fit_localizer_learns_and_repeats(trunk):
    photos, _, boxes = small_marks(12)
    localizer, losses = fitted(trunk, photos, boxes, learning_rate=0.01)
    assert losses[-1] < losses[0]
    again, _ = fitted(trunk, photos, boxes, learning_rate=0.01)
    for one, other in zip(localizer.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


@pytest.mark.parametrize(
    ("sides", "pixels", "size"),
    [
        ([(0.4, 0.4), (0.2, 0.2), (0.9, 0.3)], 224**2, (224, 224)),
        ([(0.3, 0.6)] * 3, 224**2, (160, 320)),
        ([(0.6, 0.3)] * 3, 224**2, (320, 160)),
        ([(0.01, 1.0)], 224**2, (128, 384)),
        ([(0.5, 0.5), (0.0, 0.2)], 1024, (32, 32)),  # what has no area has no shape
        ([], 224**2, (224, 224)),
    ],
)
def test_a_crop_has_the_objects_shape(sides, pixels, size):
    boxes = np.array([[0.05, 0.0, 0.05 + h, w] for h, w in sides]).reshape(-1, 4)
    assert crop_size_for(boxes, pixels) == size


def test_a_crop_needs_pixels():
    with pytest.raises(ValueError, match="pixels=1000"):
        crop_size_for(FRAME, 1000)
