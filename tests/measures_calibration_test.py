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


def test_probabilities_by_hand():
    logits = np.array([[2 * np.log(3), 0.0], [0.0, 0.0]])
    np.testing.assert_allclose(calibration.probabilities(logits), [[0.9, 0.1], [0.5, 0.5]])
    np.testing.assert_allclose(calibration.probabilities(logits, 2.0), [[0.75, 0.25], [0.5, 0.5]])


@pytest.mark.parametrize("gap", [0.5, 2.0, 8.0])
def test_a_temperature_makes_answers_as_sure_as_they_are_right(gap):
    logits = np.tile([gap, 0.0], (4000, 1))
    labels = np.arange(4000) % 4 // 3  # 75 % are right
    temperature = calibration.fit_temperature(logits, labels)
    assert temperature == pytest.approx(gap / np.log(3), rel=3e-3)
    errors = calibration.calibration_errors(logits, labels, temperature)
    assert errors["calibration_error"] < 1e-3
    assert errors["calibration_error_before"] == pytest.approx(abs(1 / (1 + np.exp(-gap)) - 0.75))


def test_a_temperature_is_the_least_of_all():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 5, 300)
    logits = 4 * (np.eye(5)[labels] + rng.normal(0, 0.7, (300, 5)))
    tried = np.exp(np.linspace(*np.log(calibration.TEMPERATURES), 4001))
    losses = [
        -np.log(calibration.probabilities(logits, t)[np.arange(300), labels]).sum()
        + np.log(t) ** 2 / 2
        for t in tried
    ]
    fitted = calibration.fit_temperature(logits, labels)
    assert fitted == pytest.approx(tried[np.argmin(losses)], rel=2e-3)
    # An offset of all classes says nothing, and no stream is too small or too large.
    assert calibration.fit_temperature(logits + 1000, labels) == pytest.approx(fitted, rel=1e-3)


@pytest.mark.parametrize(
    ("logits", "labels", "least", "most"),
    [
        (np.zeros((0, 3)), [], 1.0, 1.0),  # nothing is known
        (np.zeros((50, 3)), [0] * 50, 1.0, 1.0),  # nothing is said
        (9 * np.eye(3), [0, 1, 2], 0.9, 1.1),  # three, all right, and sure enough
        (np.eye(3), [0, 1, 2], 0.3, 0.9),  # all right, and not sure
        (np.tile(0.2 * np.eye(3), (99, 1)), [0, 1, 2] * 99, 0.05, 0.1),
        (9 * np.eye(3), [1, 2, 0], 2.0, 20.0),  # all wrong
        (1e4 * np.eye(3), [1, 2, 0], 19.0, 20.0),
    ],
)
def test_few_photos_give_a_sane_temperature(logits, labels, least, most):
    temperature = calibration.fit_temperature(logits, np.array(labels, int))
    assert least - 1e-3 <= temperature <= most + 1e-3


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
