import keras
import numpy as np
import pytest
from keras import ops

from rra_keras.layers import Calibration
from rra_keras.measures.unknown import fit_known_score, residual


@pytest.fixture
def seen():
    rng = np.random.default_rng(0)
    return rng.normal(size=(40, 3)).astype("float32"), rng.normal(size=(40, 12)).astype("float32")


def test_until_it_learns_the_score_is_the_largest_logit(seen):
    layer = Calibration()
    np.testing.assert_allclose(layer(list(seen))[:, 0], seen[0].max(axis=-1), atol=1e-6)
    assert (layer.temperature, layer.known_from) == (1.0, None)


@pytest.mark.parametrize("dimensions", [1, 4, 64])
def test_it_is_numpys(seen, dimensions):
    layer = Calibration(dimensions)
    layer(list(seen))
    mean, directions, scale = fit_known_score(*seen, dimensions)
    layer.learn(mean, directions, scale)
    expected = seen[0].max(axis=-1) - scale * residual(seen[1], mean, directions)
    np.testing.assert_allclose(layer(list(seen))[:, 0], expected, atol=1e-4)


def test_what_it_learned_is_saved_and_does_not_train(build, tmp_path):
    model = build()
    model.calibration.temperature, model.calibration.known_from = 1.7, -2.5
    model.calibration.scale.assign(0.5)
    assert not model.calibration.trainable_weights
    model.save(tmp_path / "model.keras")
    layer = keras.models.load_model(tmp_path / "model.keras").calibration
    assert layer.temperature == pytest.approx(1.7)
    assert layer.known_from == pytest.approx(-2.5)
    assert float(ops.convert_to_numpy(layer.scale)) == 0.5


def test_they_leave_logits_alone(build, batch):
    model = build()
    before = model.predict(batch[0], verbose=0)
    model.calibration.temperature, model.calibration.known_from = 3.0, 5.0
    np.testing.assert_array_equal(model.predict(batch[0], verbose=0), before)
    model.calibration.known_from = None
    assert model.calibration.known_from is None


@pytest.mark.parametrize(
    ("name", "value"),
    [("temperature", 0.0), ("temperature", np.nan), ("known_from", np.inf), ("known_from", np.nan)],
)
def test_what_cannot_be_is_refused(build, name, value):
    with pytest.raises(ValueError, match=rf"`{name}`"):
        setattr(build().calibration, name, value)


def test_no_dimension_is_refused():
    with pytest.raises(ValueError, match="dimensions=0"):
        Calibration(0)
