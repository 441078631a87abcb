"""The paper's network at its own size."""

import keras
import numpy as np
import pytest

from rra_keras.models import TwoStreamClassifier


@pytest.mark.soak
def test_trains_a_step_at_448_pixels_and_saves(tmp_path):
    model = TwoStreamClassifier.from_preset("paper_vgg19", num_classes=200, weights=None)
    model.compile(keras.optimizers.SGD(1e-3, momentum=0.9))
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (2, 448, 448, 3)).astype("uint8")
    before = model.get_layer("local_classifier").kernel.numpy()
    model.fit(images, np.array([3, 199]), batch_size=2, verbose=0)
    assert np.abs(model.get_layer("local_classifier").kernel.numpy() - before).max() > 0
    model.save(tmp_path / "paper.keras")
    loaded = keras.models.load_model(tmp_path / "paper.keras")
    np.testing.assert_array_equal(
        loaded.predict(images, verbose=0), model.predict(images, verbose=0)
    )
    assert int(loaded.optimizer.iterations) == 1
