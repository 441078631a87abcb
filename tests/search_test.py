"""The search for objects: matching, rounds of what was read, and what stands in the end."""

import numpy as np
import pytest
from discovery_test import small_marks

from rra_keras.backbones import build_encoder
from rra_keras.discovery import match, probe, rounds, search
from rra_keras.layers.box_localizer import BoxLocalizer
from rra_keras.measures.boxes import whole
from rra_keras.measures.labels import one_hot
from rra_keras.measures.multilabel import r_precision

# === Matching ===


def test_a_position_counts_by_how_much_better_its_own_class_has_it():
    # Two photos a class; position 1 of the first class is in both of its photos, and in no other.
    common, mark, others = [1.0, 0, 0, 0], [0, 1.0, 0, 0], [[0, 0, 1.0, 0], [0, 0, 0, 1.0]]
    features = np.array([[common, mark], [mark, common], [common, others[0]], [common, others[1]]])
    features = features.reshape(4, 1, 2, 4).astype("float32")
    maps = match.matching_maps(features, one_hot([0, 0, 1, 1]))
    np.testing.assert_allclose(maps[0, 0], [0, 1], atol=1e-6)  # common to all; only its own class
    np.testing.assert_allclose(maps[1, 0], [1, 0], atol=1e-6)
    np.testing.assert_allclose(maps[2, 0], [0, 0], atol=1e-6)  # what is its own alone is nothing
    alone = match.matching_maps(features, one_hot([0, 1, 2, 3]))
    np.testing.assert_array_equal(alone, 0)


def test_each_label_of_a_photo_is_matched_by_itself():
    first, second, none = [1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0]
    features = np.array([[first, second], [first, none], [none, second]], "float32")
    labels = np.array([[1, 1], [1, 0], [0, 1]])
    maps = match.matching_maps(features.reshape(3, 1, 2, 3), labels)[:, 0]  # (4, 2)
    # Of the first photo's two positions each is in the photo that shares its label only.
    np.testing.assert_allclose(maps[:2], [[1, -1], [-1, 1]], atol=1e-6)
    np.testing.assert_allclose(maps[2:], [[1, -1], [-1, 1]], atol=1e-6)


def test_the_box_is_the_region_around_the_peak():
    maps = np.zeros((2, 10, 10), "float32")
    maps[0, 1:4, 5:8] = 0.55
    maps[0, 2:4, 5:8] = 0.65
    maps[0, 3, 6] = 1
    maps[0, 8, 1] = 0.9  # another region, which is not as high
    boxes = match.peak_boxes(maps)
    np.testing.assert_allclose(boxes, [[0.2, 0.5, 0.4, 0.8], [0, 0, 1, 1]])


def test_matching_finds_what_only_a_class_has(backbone):
    """Noise with a mark of the class' color somewhere: a hundredth of the photo."""
    rng = np.random.default_rng(0)
    photos = rng.integers(0, 60, (16, 64, 64, 3)).astype("uint8")
    labels, places = np.arange(16) % 2, rng.integers(0, 6, (16, 2)) * 8
    for photo, label, (y, x) in zip(photos, labels, places, strict=True):
        photo[y : y + 16, x : x + 16, label] = 255
    encoder = build_encoder(backbone, train_from="block_1", fine_features=True)
    boxes = match.matched_boxes(encoder, photos, one_hot(labels))[:, 0]
    centers = (boxes[:, :2] + boxes[:, 2:]) / 2 * 64
    inside = np.all((centers >= places) & (centers <= places + 16), axis=1)
    assert inside.mean() >= 0.75


# === Rounds ===


def test_rightly_named_is_accuracy_for_one_label_and_a_share_for_several():
    scores = np.array([[3, 2, 1], [3, 2, 1], [3, 1, 2], [3, 2, 1]])
    labels = np.array([[1, 0, 0], [0, 1, 0], [1, 1, 0], [0, 0, 0]])
    np.testing.assert_array_equal(r_precision(scores, labels), [1, 0, 0.5, 0])


def read_at(monkeypatch, boxes, distinct, features, labels, fold):
    """Read places of which the boxes and the features are given."""
    monkeypatch.setattr(rounds, "_places", lambda *_: (boxes, distinct))
    monkeypatch.setattr(rounds, "make_viewer", lambda *_, **__: None)
    monkeypatch.setattr(rounds, "see", lambda *_: features)
    return rounds.read(None, None, np.empty((len(boxes), 1)), labels, fold, 32)


def test_the_place_most_like_the_photos_own_class_is_chosen(monkeypatch):
    """Features that are the class' own at one of four places: the second, in all but a few."""
    rng = np.random.default_rng(0)
    labels, fold = np.arange(40) % 2, np.arange(40) // 2 % 4
    place = np.where(np.arange(40) % 5 == 0, 2, 1)
    features = rng.normal(0, 0.1, (40, 4, 6)).astype("float32")
    features[np.arange(40), place, labels] += 3
    boxes = np.tile(np.linspace(0, 0.6, 4)[:, None] + [0, 0, 0.1, 0.1], (40, 1, 1))
    seen = read_at(monkeypatch, boxes, np.ones((40, 4), bool), features, one_hot(labels), fold)
    chosen = seen.chosen[:, 0]
    assert np.mean(chosen == place) >= 0.9
    np.testing.assert_array_equal(seen.chosen_boxes[:, 0], boxes[np.arange(40), chosen])
    assert seen.elsewhere == np.mean(chosen > 0)
    np.testing.assert_array_equal(seen.right, seen.margin[:, 0] > 0)
    assert len(seen.right) == 10
    assert seen.right.mean() >= 0.9


def test_each_label_of_a_photo_chooses_its_own_place(monkeypatch):
    """A mark of a class at the first place; or of another at the second, too; or none."""
    rng = np.random.default_rng(0)
    count, classes = 120, 4
    first, kind = np.arange(count) % classes, np.arange(count) // classes % 3
    second = (first + 1) % classes
    rows, fold = np.arange(count), np.arange(count) // 12 % 5
    labels, features = np.zeros((count, classes), int), rng.normal(0, 0.3, (count, 4, 6))
    for place, there, label in ((0, kind < 2, first), (1, kind < 1, second)):
        labels[rows[there], label[there]] = 1
        features[rows[there], place, label[there]] += 3
    boxes = np.tile(np.linspace(0, 0.6, 4)[:, None] + [0, 0, 0.1, 0.1], (count, 1, 1))
    seen = read_at(
        monkeypatch, boxes, np.ones((count, 4), bool), features.astype("float32"), labels, fold
    )
    assert (seen.chosen >= 0).sum(axis=1).tolist() == labels.sum(axis=1).tolist()
    place_of_first = np.where(second < first, 1, 0)[kind == 0]  # labels are listed by class
    assert np.mean(seen.chosen[kind == 0, 0] == place_of_first) >= 0.9
    assert np.mean(seen.chosen[kind == 0, 1] == 1 - place_of_first) >= 0.9
    assert np.mean(seen.chosen[kind == 1, 0] == 0) >= 0.9
    np.testing.assert_array_equal(np.isnan(seen.chosen_boxes[..., 0]), seen.chosen < 0)
    assert len(seen.right) == 16  # of the 24 held out, those that have a label
    assert seen.right.mean() >= 0.9
    np.testing.assert_array_equal(np.isnan(seen.margin), seen.chosen[(fold == 0) & (kind < 2)] < 0)


def test_a_place_that_does_not_count_is_not_chosen(monkeypatch):
    labels, fold = np.arange(16) % 2, np.arange(16) // 2 % 4
    features = np.zeros((16, 4, 3), "float32")
    features[np.arange(16), 1, labels] = 5
    counts = np.ones((16, 4), bool)
    counts[:, 1] = False
    boxes = np.tile(np.array([0, 0, 0.5, 0.5]), (16, 4, 1))
    seen = read_at(monkeypatch, boxes, counts, features, one_hot(labels), fold)
    assert not (seen.chosen == 1).any()


def test_a_round_is_told_in_one_line():
    said = "held-out photos read rightly: 40% → 50%, margin"
    assert str(rounds.Round(0.4, 0.5, 0.3, 0.02)) == f"{said} +0.020: kept"
    assert str(rounds.Round(0.4, 0.5, 0.3, -0.01)) == f"{said} -0.010: not kept"


@pytest.mark.parametrize("better", [True, False])
def test_a_round_is_kept_while_held_out_photos_are_read_better(backbone, monkeypatch, better):
    photos, labels, boxes = small_marks(48)
    first = np.repeat(whole(48)[:, None], 4, axis=1)
    margins = iter([0.0, 0.1, 0.05] if better else [0.0, -0.1])

    def read(self, localizer):
        margin = np.full((12, 1), next(margins), "float32")
        return rounds.Read(
            np.concatenate([first[:, :1], boxes[:, None], first[:, 2:]], axis=1),
            np.ones((48, 4), bool),
            np.ones((48, 1), int),
            np.arange(48.0)[:, None],
            np.ones(12),
            margin,
        )

    taught = []
    monkeypatch.setattr(search.Search, "read", read)
    monkeypatch.setattr(
        search.Search, "fit", lambda self, boxes, rows=None: taught.append(boxes) or BoxLocalizer()
    )
    looking = search.Search(None, None, photos, one_hot(labels), 32, 32, 32, 1, True, 0)
    begun = search.Found(whole(48), np.ones(48, "float32"), "set", None, BoxLocalizer())
    found, _ = looking.taught(begun, looking.read(None), rounds=3)
    assert [each.kept for each in found.rounds] == ([True, False] if better else [False])
    assert len(taught[0]) == 18  # the surest half of those that are not held out
    if better:
        np.testing.assert_allclose(found.boxes, boxes)
        np.testing.assert_array_equal(found.earlier, [begun.boxes])
        assert len(taught[-1]) == 24  # at the end of all
        np.testing.assert_allclose(taught[-1][:, 0], boxes[24:])
    else:
        np.testing.assert_array_equal(found.boxes, begun.boxes)
        assert found.earlier == ()


@pytest.mark.parametrize(
    ("sure", "side", "settled"), [(True, 0.6, 1), (False, 0.6, 0), (True, 0.2, 0)]
)
def test_large_objects_that_are_surely_better_read_need_no_other_guess(
    monkeypatch, sure, side, settled
):
    photos, labels, _ = small_marks(48)
    boxes = np.tile(np.array([0.1, 0.1, 0.1 + side, 0.1 + side], "float32"), (48, 1))
    choice = probe.Choice("set", {}, {}, sure)
    guess = search.Found(boxes, np.ones(48, "float32"), "set", choice)
    asked = []
    steps = {
        "guessed": lambda self: guess,
        "fit": lambda self, boxes, rows=None: BoxLocalizer(),
        "matched": lambda self, found: asked.append("matched") or (found, None),
        "taught": lambda self, found, seen, rounds: asked.append("taught") or (found, seen),
    }
    for name, step in steps.items():
        monkeypatch.setattr(search.Search, name, step)
    found = search.Search(None, None, photos, one_hot(labels), 32, 32, 32, 1, False, 0).run(
        rounds=2
    )
    assert found.name == "set"
    assert asked == ([] if settled else ["matched", "taught"])


@pytest.mark.parametrize(
    ("whole_right", "matched", "taught", "chosen"),
    [
        (6, 9, 9, "match"),
        (6, 5, 7, "match"),  # worse by no more than a standard error, and better once taught
        (6, 5, 6, "frame"),  # as many: the whole photo costs no finding
        (12, 5, 12, "frame"),  # worse by more than a standard error: it is not taught
    ],
)
def test_matching_has_its_rounds_before_it_is_compared_with_whole_photos(
    monkeypatch, whole_right, matched, taught, chosen
):
    photos, labels, boxes = small_marks(48)
    rounds_made = []

    def read(count):
        first, ones = np.repeat(boxes[:, None], 4, axis=1), np.ones((48, 1))
        return rounds.Read(first, ones, ones.astype(int), ones, np.arange(12) < count, ones)

    def teach(self, found, seen, rounds):
        rounds_made.append(rounds)
        return found, read(taught)

    begun = search.Found(whole(48), np.ones(48), "frame", probe.Choice("frame", {}, {}))
    steps = {
        "guessed": lambda self: begun,
        "fit": lambda self, boxes, rows=None: BoxLocalizer(),
        "read": lambda self, localizer: read(matched),
        "whole_right": np.arange(12) < whole_right,
        "taught": teach,
    }
    for name, step in steps.items():
        monkeypatch.setattr(search.Search, name, step)
    monkeypatch.setattr(search, "matched_boxes", lambda *_: boxes[_rows(labels), None])
    found = search.Search(None, None, photos, one_hot(labels), 32, 32, 32, 1, False, 0).run(
        rounds=2
    )
    assert found.name == found.choice.name == chosen
    assert (found.localizer is None) == (chosen == "frame")
    assert rounds_made == ([] if whole_right == 12 else [2])


def _rows(labels):
    """The photos that are not held out."""
    return np.flatnonzero(probe.folds_by_class(labels, search.FOLDS, 0) > 0)
