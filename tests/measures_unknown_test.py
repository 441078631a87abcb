"""Scores of what is none of the classes, by hand and against NumPy."""

import numpy as np
import pytest

from rra_keras.measures import unknown

LOGITS = np.array([[np.log(2), np.log(3), np.log(5)], [-4.0, 1000.0, 0.0]])


def test_scores_of_logits_by_hand():
    np.testing.assert_allclose(unknown.max_logit(LOGITS), [np.log(5), 1000.0])
    np.testing.assert_allclose(unknown.energy(LOGITS), [np.log(10), 1000.0])


def test_a_threshold_keeps_the_share_of_photos_it_is_to_keep():
    scores = np.random.default_rng(0).permutation(np.arange(100.0))
    assert unknown.fit_threshold(scores) == 4.0  # 96 of 100 reach it, and 95 would the next
    assert unknown.fit_threshold(scores, kept=0.5) == 49.0
    for count in (1, 2, 19, 20):
        assert unknown.fit_threshold(scores[:count]) == scores[:count].min()
    for count in range(1, 300):
        drawn = np.random.default_rng(count).normal(size=count)
        assert np.mean(drawn >= unknown.fit_threshold(drawn)) >= 0.95
    with pytest.raises(ValueError, match=r"`scores`\. Expected one or more\. Received none"):
        unknown.fit_threshold([])


def test_what_is_below_the_threshold_is_unknown():
    scores = np.array([1.0, 0.9, -1.0])
    assert unknown.is_known(scores, 0.9).tolist() == [True, True, False]
    assert unknown.is_known(scores, None).all()


@pytest.fixture
def features():
    """Two classes of points in a plane, wide along x and narrow along y."""
    rng = np.random.default_rng(0)
    labels = np.arange(400) % 2
    spread = rng.normal(size=(400, 2)) * [3.0, 0.1]
    return spread + np.array([[0.0, 0.0], [0.0, 5.0]])[labels], labels


def test_distances_by_hand():
    means = np.array([[0.0, 0.0], [10.0, 0.0]])
    points = np.array([[3.0, 4.0], [10.0, 1.0]])
    np.testing.assert_allclose(unknown.nearest_mean(points, means), [-5.0, -1.0])
    found = unknown.mahalanobis(points, means, np.diag([9.0, 4.0]))
    np.testing.assert_allclose(found, [-np.sqrt(1 + 4), -0.5])


def test_mahalanobis_is_numpy_s(features):
    points, labels = features
    means = unknown.class_means(points, labels)
    np.testing.assert_allclose(means, [points[::2].mean(axis=0), points[1::2].mean(axis=0)])
    covariance = np.array([[2.0, 0.3], [0.3, 0.5]])
    apart = points[:, None] - means  # (N, C, D)
    squares = np.einsum("ncd,de,nce->nc", apart, np.linalg.inv(covariance), apart)
    expected = -np.sqrt(squares.min(axis=-1))
    np.testing.assert_allclose(unknown.mahalanobis(points, means, covariance), expected)


def test_mahalanobis_sees_what_is_far_for_its_direction(features):
    points, labels = features
    means = unknown.class_means(points, labels)
    covariance = unknown.shrunk_covariance(points - means[labels])
    along, across = np.array([[4.0, 0.0]]), np.array([[0.0, 2.0]])
    assert unknown.nearest_mean(along, means) < unknown.nearest_mean(across, means)
    along, across = (unknown.mahalanobis(point, means, covariance) for point in (along, across))
    assert along > 2 * across


def test_shrinkage_by_hand_and_at_its_ends():
    centered = np.array([[2.0, 0.0], [-2.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    # The sample's is diag(2, ½): tr = 2.5, tr² = 6.25, tr(S²) = 4.25; (0 + 6.25) / (4 · 1.125) > 1.
    np.testing.assert_allclose(unknown.shrunk_covariance(centered), 1.25 * np.eye(2))
    # Four times as many: 6.25 / (16 · 1.125).
    share = 6.25 / 18
    expected = (1 - share) * np.diag([2.0, 0.5]) + share * 1.25 * np.eye(2)
    np.testing.assert_allclose(unknown.shrunk_covariance(np.tile(centered, (4, 1))), expected)
    few = np.random.default_rng(0).normal(size=(5, 40))  # whose own has no inverse
    shrunk = unknown.shrunk_covariance(few)
    assert np.linalg.eigvalsh(shrunk).min() > 0.01
    assert np.trace(shrunk) == pytest.approx(np.sum(few**2) / 5)


def test_features_that_are_all_alike_are_refused():
    with pytest.raises(ValueError, match=r"`centered`.*vary within classes\. Received: 5 that"):
        unknown.shrunk_covariance(np.zeros((5, 3)))


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
    assert unknown.false_positive_rate(known, [3.0, 3.9, 4.0, 50.0]) == 0.5
    assert unknown.false_positive_rate(known, [0.0, 49.5], kept=0.5) == 0.5
