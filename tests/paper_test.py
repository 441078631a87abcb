"""The paper's two streams."""

import keras
import numpy as np
import pytest
import scipy.special

from rra_keras.models import TwoStreamClassifier


@pytest.fixture(scope="module")
def model(backbone):
    keras.utils.set_random_seed(0)
    return TwoStreamClassifier(
        backbone,
        3,
        local_backbone=backbone,
        image_size=64,
        crop_size=32,
        projection=(8, 8),
        units=6,
        steps=3,
        local_weight=0.5,
    )


def losses(logits, labels):
    return -scipy.special.log_softmax(logits, axis=-1)[np.arange(len(labels)), labels]


def test_the_answer_is_global_plus_lambda_times_local(model, batch):
    seen = model(np.float32(batch[0]))
    expected = np.asarray(seen["global_logits"]) + 0.5 * np.asarray(seen["local_logits"])
    np.testing.assert_allclose(seen["logits"], expected, atol=1e-5)
    np.testing.assert_allclose(model.predict(batch[0], verbose=0), expected, atol=1e-4)
    np.testing.assert_allclose(model.predict_on_batch(batch[0]), expected, atol=1e-4)


def test_each_stream_has_a_loss_of_its_own(model, batch):
    images, labels = batch
    seen = model(np.float32(images))
    model.compile("adam")
    for form in (labels, np.eye(3)[labels]):
        measured = model.evaluate(images, form, verbose=0, return_dict=True)
        expected = losses(seen["global_logits"], labels) + 0.5 * losses(
            seen["local_logits"], labels
        )
        np.testing.assert_allclose(measured["loss"], expected.mean(), rtol=1e-4)
        accuracy = np.mean(np.asarray(seen["logits"]).argmax(-1) == labels)
        np.testing.assert_allclose(measured["logits_accuracy"], accuracy, rtol=1e-5)


def test_the_local_answer_is_the_steps_by_their_weights(model, batch):
    names = ("states", "step_weights", "step_logits", "local_logits")
    seen = {k: np.asarray(v) for k, v in model.view(*names)(np.float32(batch[0])).items()}
    assert seen["states"].shape == (9, 3, 6)
    weighted = np.einsum("nt,ntc->nc", seen["step_weights"], seen["step_logits"])
    np.testing.assert_allclose(weighted, seen["local_logits"], atol=1e-5)


def test_saved_and_loaded_it_trains_on(model, batch, tmp_path):
    model.compile(keras.optimizers.Adam(0.01))
    model.fit(*batch, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(
        loaded.predict(batch[0], verbose=0), model.predict(batch[0], verbose=0), atol=1e-5
    )
    before = loaded.evaluate(*batch, verbose=0, return_dict=True)["loss"]
    loaded.fit(*batch, epochs=3, verbose=0)
    assert loaded.evaluate(*batch, verbose=0, return_dict=True)["loss"] != before
