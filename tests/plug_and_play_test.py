"""The layers in a functional model of one's own, on a backbone of one's own."""

import keras
import numpy as np
from keras import layers

import rra_keras


def test_layers_train_and_reload_in_a_model_of_ones_own(tmp_path):
    images = keras.Input((48, 64, 3))
    backbone = keras.Sequential(
        [layers.Conv2D(width, 3, 2, "same", activation="relu") for width in (8, 16)]
    )
    pool = layers.GlobalAveragePooling2D()
    features = backbone(layers.Resizing(24, 24)(images))
    box = rra_keras.CamLocalizer(name="box")(layers.Dense(5)(features))
    crop = rra_keras.ZoomCrop(24)([images, box])
    vector = layers.concatenate([pool(features), pool(backbone(crop))])
    aggregate, _, _ = rra_keras.StepAttention(units=8, steps=2, name="rra")(vector)
    model = keras.Model(images, layers.Dense(5)(aggregate))
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))

    x, y = np.random.default_rng(0).uniform(size=(6, 48, 64, 3)), np.arange(6) % 5
    before = model.get_weights()
    model.fit(x, y, verbose=0)
    for old, new in zip(before, model.get_weights(), strict=True):
        assert np.isfinite(new).all()
        assert (old != new).any()

    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))
    view = keras.Model(loaded.input, [loaded.get_layer("box").output, weights_of(loaded)])
    boxes, step_weights = view.predict(x, verbose=0)
    assert boxes.shape == (6, 4)
    np.testing.assert_allclose(step_weights.sum(axis=1), np.ones(6), atol=1e-6)


def weights_of(model):
    _, _, weights = model.get_layer("rra").output
    return weights
