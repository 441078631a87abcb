"""Scores of what is none of the classes, by hand and against NumPy."""

import numpy as np
import pytest

from rra_keras.measures import unknown

LOGITS = np.array([[np.log(2), np.log(3), np.log(5)], [-4.0, 1000.0, 0.0]])


def test_the_largest_logit_by_hand():
    np.testing.assert_allclose(unknown.max_logit(LOGITS), [np.log(5), 1000.0])


def test_a_threshold_keeps_the_share_of_photos_it_is_to_keep():
    scores = np.random.default_rng(0).permutation(np.arange(100.0))
    assert unknown.fit_threshold(scores) == 3.5  # 96 of 100 reach it, and 95 would 4.5
    assert unknown.fit_threshold(scores, kept=0.5) == 48.5
    for count in (1, 2, 19, 20):
        assert unknown.fit_threshold(scores[:count]) < scores[:count].min()
    for count in range(1, 300):
        drawn = np.random.default_rng(count).normal(size=count)
        threshold = unknown.fit_threshold(drawn)
        assert np.mean(drawn >= threshold) >= 0.95
        assert np.abs(drawn - threshold).min() > 0  # rounding moves no photo to the other side
    with pytest.raises(ValueError, match=r"`scores`\. Expected one or more\. Received none"):
        unknown.fit_threshold([])


def test_what_is_below_the_threshold_is_unknown():
    scores = np.array([1.0, 0.9, -1.0])
    assert unknown.is_known(scores, 0.9).tolist() == [True, True, False]
    assert unknown.is_known(scores, None).all()


def test_the_residual_is_what_lies_outside_of_the_space():
    rng = np.random.default_rng(0)
    plane = rng.normal(size=(50, 2)) @ rng.normal(size=(2, 5)) + 3.0  # 2 directions of 5
    mean, directions = unknown.principal_space(plane, 2)
    np.testing.assert_allclose(mean, plane.mean(axis=0))
    np.testing.assert_allclose(directions @ directions.T, np.eye(2), atol=1e-12)
    np.testing.assert_allclose(unknown.residual(plane, mean, directions), 0.0, atol=1e-12)
    outside = np.linalg.svd(directions)[2][-1]  # orthogonal to both
    moved = plane + 0.7 * outside
    np.testing.assert_allclose(unknown.residual(moved, mean, directions), 0.7)


def test_the_scaled_residual_is_as_great_as_a_logit_on_average():
    rng = np.random.default_rng(0)
    logits, features = rng.normal(5.0, 1.0, (40, 3)), rng.normal(size=(40, 6))
    mean, directions, scale = unknown.fit_known_score(logits, features, 64)
    assert directions.shape == (3, 6)  # half as many as features
    residuals = unknown.residual(features, mean, directions)
    assert scale * residuals.mean() == pytest.approx(logits.max(axis=-1).mean())
    assert unknown.fit_known_score(logits, features, 2)[1].shape == (2, 6)
    assert unknown.fit_known_score(logits, np.ones((40, 6)), 2)[2] == 0.0  # features all alike


def test_auroc_counts_pairs():
    known, others = np.array([3.0, 2.0, 1.0]), np.array([2.0, 0.0])
    # Of six pairs 3>2, 3>0, 2>0, 1>0 are right, 2=2 is half.
    assert unknown.auroc(known, others) == pytest.approx(4.5 / 6)
    assert unknown.auroc(known, known - 9) == 1.0
    assert unknown.auroc(known, known + 9) == 0.0
    assert unknown.auroc(known, known) == 0.5


def test_false_positives_pass_the_known_photos_threshold():
    known = np.arange(100.0)
    assert unknown.false_positive_rate(known, [3.0, 3.4, 3.6, 50.0]) == 0.5
    assert unknown.false_positive_rate(known, [0.0, 49.5], kept=0.5) == 0.5
