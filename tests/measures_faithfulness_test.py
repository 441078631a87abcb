import numpy as np
import pytest

from rra_keras.measures import faithfulness


def test_ranks_fall_with_the_value_and_ties_break_by_the_given_order():
    values = np.array([[[3.0, 1.0], [1.0, 7.0]]])
    ties = np.array([[0.0, 0.2], [0.9, 0.0]])
    np.testing.assert_allclose(faithfulness.ranks(values, ties), [[[0.375, 0.875], [0.625, 0.125]]])


def test_swapped_replaces_the_first_places_share_by_share():
    image, other = np.zeros((4, 4, 3)), np.ones((4, 4, 3))
    rank = np.array([[0.125, 0.375], [0.625, 0.875]])
    results = faithfulness.swapped(image, other, rank, [0.0, 0.25, 0.5, 1.0])
    np.testing.assert_allclose(results.mean(axis=(1, 2, 3)), [0, 0.25, 0.5, 1])
    np.testing.assert_array_equal(results[1, :2, :2], 1)
    np.testing.assert_array_equal(results[2, :2], 1)


def test_area_under_by_hand():
    # Trapezoids: (1 + 0.5) / 2 · 0.5 + (0.5 + 0) / 2 · 0.5
    assert faithfulness.area_under(np.array([1.0, 0.5, 0.0])) == pytest.approx(0.5)
    np.testing.assert_allclose(faithfulness.area_under(np.array([[1.0, 0.0, 0.0]])), [0.25])


def test_a_map_of_what_the_model_uses_is_more_faithful_than_the_opposite():
    """The model looks at one corner alone, white there meaning class 1."""
    image = np.zeros((40, 40, 3))
    image[:20, :20] = 255

    def predict(images):
        white = images[:, :10, :10].mean(axis=(1, 2, 3)) / 255
        return np.stack([np.zeros_like(white), 20 * (white - 0.5)], axis=-1)

    true = np.zeros((8, 8))
    true[:2, :2] = 1
    ties = np.random.default_rng(0).uniform(size=(8, 8))
    deletion, insertion = faithfulness.curves(predict, image, 1, np.stack([true, -true]), ties)
    assert deletion.shape == insertion.shape == (2, 11)
    np.testing.assert_allclose(deletion[:, 0], 1, atol=1e-3)  # as it is
    np.testing.assert_allclose(deletion[:, -1], deletion[0, -1])  # all of it gray
    np.testing.assert_allclose(insertion[:, -1], 1, atol=1e-3)
    # The corner is 4 of 64 places: gone, or back, after the first tenth; or not before the last.
    assert deletion[0, 1] < 0.1
    assert insertion[0, 1] > 0.99
    assert deletion[1, 8] > 0.99
    under = faithfulness.area_under(deletion)
    assert under[0] < 0.2 < 0.8 < under[1]


def test_the_center_map_is_greatest_in_the_middle():
    middle = faithfulness.center_map(5)
    assert np.unravel_index(middle.argmax(), (5, 5)) == (2, 2)
    np.testing.assert_allclose(middle, middle[::-1].T)
    assert (np.diff(middle[2, :3]) > 0).all()  # it falls off to the edges
