import numpy as np
import pytest

from rra_keras.measures import calibration, confusion


def test_calibration_error_by_hand():
    confidence = np.array([0.95, 0.9, 0.55, 0.55, 0.1])
    correct = np.array([True, False, True, True, False])
    groups = calibration.reliability(confidence, correct, bins=10)
    np.testing.assert_array_equal(groups["count"], [1, 0, 0, 0, 0, 2, 0, 0, 1, 1])
    np.testing.assert_allclose(groups["confidence"][[0, 5, 8, 9]], [0.1, 0.55, 0.9, 0.95])
    np.testing.assert_allclose(groups["accuracy"][[0, 5, 8, 9]], [0, 1, 0, 1])
    assert np.isnan(groups["accuracy"][1])
    # (0.1 + 2 · 0.45 + 0.9 + 0.05) / 5
    assert calibration.expected_calibration_error(groups) == pytest.approx(0.39)


def test_confidences_of_0_and_1_are_counted():
    groups = calibration.reliability(np.array([0.0, 1.0]), np.array([False, True]), bins=4)
    np.testing.assert_array_equal(groups["count"], [1, 0, 0, 1])
    assert calibration.expected_calibration_error(groups) == 0


MATRIX = np.array(
    [
        [5, 1, 0, 0],
        [4, 2, 0, 0],
        [0, 1, 3, 0],
        [0, 0, 0, 0],
    ]
)


def test_confusion_matrix_and_class_figures_by_hand():
    labels = [0] * 6 + [1] * 6 + [2] * 4
    answers = [0] * 5 + [1] + [0] * 4 + [1] * 2 + [1] + [2] * 3
    np.testing.assert_array_equal(confusion.confusion_matrix(labels, answers, 4), MATRIX)
    assert confusion.per_class(MATRIX) == [
        {"images": 6, "recall": 5 / 6, "precision": 5 / 9},
        {"images": 6, "recall": 2 / 6, "precision": 2 / 4},
        {"images": 4, "recall": 3 / 4, "precision": 1.0},
        {"images": 0, "recall": None, "precision": None},
    ]


def test_confused_pairs_count_both_ways():
    assert confusion.confused_pairs(MATRIX) == [(1, 0), (2, 1)]
    assert confusion.confused_pairs(MATRIX, most=1) == [(1, 0)]
    assert confusion.confused_pairs(np.eye(3, dtype=int)) == []


def test_the_surest_errors_come_first():
    probabilities = np.array([[0.6, 0.4], [0.9, 0.1], [0.2, 0.8], [0.3, 0.7]])
    assert confusion.surest_errors(np.array([1, 1, 1, 0]), probabilities) == [1, 3, 0]
    assert confusion.surest_errors(np.array([1, 1, 1, 0]), probabilities, most=1) == [1]
    assert confusion.surest_errors(np.array([0, 0, 1, 1]), probabilities) == []
