"""A score of how much a photo is like those of the classes."""

import keras
import numpy as np
import pytest

from rra_keras.layers import KnownScore
from rra_keras.measures import unknown

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(4.0, 1.0, (30, 3)).astype("float32")
FEATURES = RNG.normal(size=(30, 10)).astype("float32")


def test_until_it_learns_it_is_the_greatest_logit():
    score = KnownScore()([LOGITS, FEATURES])
    assert score.shape == (30, 1)
    np.testing.assert_allclose(score[:, 0], LOGITS.max(axis=-1))


@pytest.mark.parametrize("dimensions", [2, 5, 64])
def test_it_is_numpy_s(dimensions):
    fitted = unknown.fit_known_score(LOGITS, FEATURES, dimensions)
    layer = KnownScore(dimensions)
    layer.build([(None, 3), (None, 10)])
    layer.learn(*fitted)
    mean, directions, scale = fitted
    others = FEATURES[::-1] * 2
    expected = LOGITS.max(axis=-1) - scale * unknown.residual(others, mean, directions)
    np.testing.assert_allclose(layer([LOGITS, others])[:, 0], expected, rtol=1e-4, atol=1e-4)


def test_fewer_directions_than_it_has_are_filled_up():
    layer = KnownScore(4)
    layer.build([(None, 3), (None, 10)])
    layer.learn(np.zeros(10), np.eye(2, 10), 1.0)
    expected = LOGITS.max(axis=-1) - np.linalg.norm(FEATURES[:, 2:], axis=-1)
    np.testing.assert_allclose(layer([LOGITS, FEATURES])[:, 0], expected, rtol=1e-5)


def test_what_it_learned_is_saved_and_does_not_train(build, tmp_path):
    model = build()
    model.known_score.learn(np.ones(16), np.eye(8, 16), 0.5)
    assert not model.known_score.trainable_weights
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras").known_score
    for saved, weight in zip(again.get_weights(), model.known_score.get_weights(), strict=True):
        np.testing.assert_array_equal(saved, weight)
    assert again.get_config() == model.known_score.get_config()


def test_models_saved_before_score_by_the_greatest_logit(build, batch, tmp_path, monkeypatch):
    model = build()
    monkeypatch.setattr(KnownScore, "save_own_variables", lambda self, store: None)
    model.save(tmp_path / "model.keras")
    seen = keras.models.load_model(tmp_path / "model.keras").view("logits", "score")(batch[0])
    logits, score = (keras.ops.convert_to_numpy(seen[name]) for name in ("logits", "score"))
    np.testing.assert_array_equal(score[:, 0], logits.max(axis=-1))


def test_no_dimension_is_refused():
    with pytest.raises(ValueError, match=r"`dimensions`\. Expected a positive integer"):
        KnownScore(0)
