import numpy as np
import pytest

from rra_keras.measures import coarse_to_fine as ctf


def test_area_above_half_by_hand():
    maps = np.array([[[4.0, 2.0], [1.9, 0.0]], [[1.0, 1.0], [1.0, 1.0]], [[0.0, 0.0], [0.0, 0.0]]])
    np.testing.assert_allclose(ctf.area_above_half(maps), [0.5, 1.0, np.nan])


def test_entropy_by_hand():
    maps = np.array([[[1.0, 1.0], [1.0, 1.0]], [[5.0, 0.0], [0.0, 0.0]], [[3.0, 3.0], [0.0, 0.0]]])
    # Even over 4: log 4 of log 4. Over 2 of 4: log 2 of log 4.
    np.testing.assert_allclose(ctf.entropy(maps), [1.0, 0.0, 0.5], atol=1e-12)
    assert np.isnan(ctf.entropy(np.zeros((2, 2))))


def test_slopes_by_hand():
    rows = np.array([[1.0, 2.0, 3.0], [0.0, 5.0, 0.0], [4.0, 1.0, 1.0]])
    np.testing.assert_allclose(ctf.slopes(rows), [1.0, 0.0, -1.5])


def test_the_interval_of_a_mean_is_about_two_standard_errors():
    values = np.random.default_rng(0).normal(3, 1, 400)
    low, high = ctf.interval(np.append(values, np.nan))
    assert low == pytest.approx(values.mean() - 1.96 * values.std() / 20, abs=0.02)
    assert high == pytest.approx(values.mean() + 1.96 * values.std() / 20, abs=0.02)
    assert np.isnan(ctf.interval(np.array([1.0, np.nan]))).all()


def test_a_trend_is_found_and_gone_once_steps_are_shuffled():
    noise = np.random.default_rng(0).normal(0, 0.05, (200, 4))
    falling = ctf.trend(np.array([0.8, 0.6, 0.5, 0.4]) + noise)
    assert falling["images"] == 200
    np.testing.assert_allclose(falling["mean"], [0.8, 0.6, 0.5, 0.4], atol=0.02)
    assert falling["slope"] == pytest.approx(-0.13, abs=0.01)
    assert falling["interval"][1] < -0.12
    # A shuffled slope has a standard deviation of about 0.08, over 200 images.
    np.testing.assert_allclose(falling["shuffled_interval"], [-0.0112, 0.0112], atol=0.002)
    assert ctf.verdict(falling) == "narrows"
    assert ctf.verdict(ctf.trend(np.array([0.2, 0.4, 0.5, 0.6]) + noise)) == "widens"
    assert ctf.verdict(ctf.trend(0.5 + noise)) == "stays"


def test_a_certain_but_tiny_change_is_no_change():
    rows = np.tile([0.5, 0.499], (50, 1))
    found = ctf.trend(rows)
    assert found["interval"][1] < 0
    assert ctf.verdict(found) == "stays"


def test_images_without_evidence_are_left_out_and_a_single_step_has_no_slope():
    rows = np.array([[0.5, 0.4], [np.nan, 0.4], [0.3, 0.2]])
    found = ctf.trend(rows)
    assert found["images"] == 2
    assert found["slope"] == pytest.approx(-0.1)
    assert np.isnan(ctf.trend(rows[:, :1])["slope"])
