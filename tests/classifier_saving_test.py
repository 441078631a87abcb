import copy
import inspect
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import tensorflow_only
from keras import layers, ops

from rra_keras import RRAClassifier


@keras.saving.register_keras_serializable("tests")
class CornerLocalizer(layers.Layer):
    """Always look at the upper left."""

    def __init__(self, size=0.5, **kwargs):
        super().__init__(**kwargs)
        self.size = size

    def call(self, features):
        corner = ops.convert_to_tensor([[0.0, 0.0, self.size, self.size]])
        return ops.tile(corner, (ops.shape(features)[0], 1))

    def get_config(self):
        return {**super().get_config(), "size": self.size}


# === Saving ===


@pytest.fixture(scope="module")
def saved(trained, tmp_path_factory):
    path = tmp_path_factory.mktemp("saved") / "model.keras"
    trained.save(path)
    return path


@pytest.mark.parametrize("models", [keras.models, tf.keras.models], ids=["keras", "tf.keras"])
def test_loaded_model_is_the_saved_one(trained, saved, batch, models):
    loaded = models.load_model(saved)
    assert type(loaded) is RRAClassifier
    named = {"backbone": None}  # but for the backbone, which gets tuples back as lists
    assert loaded.get_config() | named == trained.get_config() | named
    np.testing.assert_array_equal(
        loaded.predict(batch[0], verbose=0), trained.predict(batch[0], verbose=0)
    )
    assert loaded.compiled
    assert loaded.evaluate(*batch, verbose=0) == trained.evaluate(*batch, verbose=0)
    assert int(loaded.optimizer.iterations) == 3
    trainable = [variable.path for variable in trained.trainable_variables]
    assert [variable.path for variable in loaded.trainable_variables] == trainable
    pairs = zip(loaded.optimizer.variables, trained.optimizer.variables, strict=True)
    for ours, theirs in pairs:
        np.testing.assert_array_equal(ours, theirs)


def test_loaded_model_trains_on_as_the_saved_one(build, batch, tmp_path):
    model = build(localizer=None)  # the state of what moves boxes at random is not saved
    model.compile("adam")
    model.fit(*batch, batch_size=9, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for m in (model, loaded):
        m.fit(*batch, batch_size=9, verbose=0)
    for ours, theirs in zip(loaded.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


@tensorflow_only("the same by JAX, which takes long to compile it")
def test_fresh_process_needs_only_the_import(trained, saved, batch, tmp_path):
    np.save(tmp_path / "images.npy", batch[0])
    code = (
        "import rra_keras, keras, numpy as np\n"
        f"model = keras.models.load_model({str(saved)!r})\n"
        f"logits = model.predict(np.load({str(tmp_path / 'images.npy')!r}), verbose=0)\n"
        f"np.save({str(tmp_path / 'logits.npy')!r}, logits)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    logits = np.load(tmp_path / "logits.npy")
    np.testing.assert_array_equal(logits, trained.predict(batch[0], verbose=0))


def test_numbers_that_are_weights_are_saved(build, tmp_path):
    model = build()
    model.fixation_attention.temperature, model.fixation_attention.sure_from = 0.5, 3.0
    model.calibration.temperature = 2.5
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    attention = loaded.fixation_attention
    assert (attention.temperature, attention.sure_from) == (0.5, 3.0)
    assert loaded.calibration.temperature == 2.5


# === Config ===


def test_config_holds_exactly_the_constructor_arguments(trained):
    parameters = set(inspect.signature(RRAClassifier).parameters)
    assert set(trained.get_config()) == parameters


def test_from_config_leaves_the_model_and_its_config_alone(build):
    model = build()
    before = copy.deepcopy(model.get_config())
    config = model.get_config()
    RRAClassifier.from_config(config)
    assert config == before
    assert model.get_config() == before


def test_config_round_trip_with_parts_of_ones_own(build, batch, tmp_path):
    model = build(
        localizer=CornerLocalizer(0.25),
        max_fixations=1,
        max_refinements=0,
        preprocess=layers.Rescaling(1 / 255),
        name="mine",
    )
    config = model.get_config()
    rebuilt = RRAClassifier.from_config(config)
    assert rebuilt.get_config() == config
    boxes = rebuilt.view("boxes")(np.float32(batch[0]))["boxes"]
    np.testing.assert_array_equal(boxes, [[[0, 0, 0.25, 0.25]]] * 9)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(
        loaded.predict(batch[0], verbose=0), model.predict(batch[0], verbose=0)
    )
