import keras
import numpy as np
import pytest

from rra_keras.explain.activation import activation_map, activations
from rra_keras.measures.localization import peaks


@pytest.mark.parametrize("shared", [True, False])
def test_a_look_s_map_is_that_of_the_encoder_that_sees_crops(build, batch, shared):
    model = build(looks=2, shared_encoder=shared, patch_size=(16, 32))
    images = batch[0][:3].astype("float32")
    seen = model.view("boxes", "look_1_crop", "look_2_features").predict_on_batch(images)
    maps = activations(model, images, seen["boxes"])
    encoder = model.get_layer("encoder" if shared else "crop_encoder")
    features, fine_features = encoder.predict_on_batch(np.asarray(seen["look_1_crop"]))
    assert maps.shape == (3, 3, *fine_features.shape[1:3])
    expected = activation_map(features, fine_features)
    np.testing.assert_allclose(maps[:, 1], expected, rtol=1e-3, atol=1e-4)
    assert maps[:, 1].std() > 0


def test_each_map_is_of_its_own_box_and_the_first_of_the_whole_photo(build):
    # On black, a white square: an eighth of a side, in the middle of the upper right quarter.
    images = np.zeros((1, 64, 64, 3), "float32")
    images[:, 12:20, 44:52] = 255.0
    model = build()
    rng = np.random.default_rng(0)
    for weight in model.get_layer("encoder").trainable_weights:
        weight.assign(abs(rng.normal(size=weight.shape)) if weight.ndim > 1 else 0 * weight)
    quarters = np.array([[[0.0, 0.5, 0.5, 1.0], [0.5, 0.0, 1.0, 0.5], [0.0, 0.0, 1.0, 1.0]]])
    whole, right, left, again = activations(model, images, quarters)[0]
    assert whole.shape == (8, 8)
    np.testing.assert_array_equal(again, whole)
    np.testing.assert_allclose(peaks(whole[None]), [[0.25, 0.75]], atol=0.13)  # a cell
    np.testing.assert_allclose(peaks(right[None]), [[0.5, 0.5]], atol=0.13)
    assert left.max() < 1e-3 < right.max()  # nothing but black


def test_it_leaves_the_model_as_it_was(build, batch, tmp_path):
    model = build()
    images = batch[0][:2].astype("float32")
    before = model.predict(images, verbose=0)
    activations(model, images, np.tile([0.0, 0.0, 1.0, 1.0], (2, 1, 1)))
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(again.predict(images, verbose=0), before, atol=1e-5)


def test_activation_map_by_hand():
    features = np.zeros((1, 1, 2, 2), "float32")
    features[0, 0, 0] = [3, -4]  # root of the mean square: √12.5, half of it above the mean
    fine_features = np.zeros((1, 2, 4, 1), "float32")
    fine_features[0, 0, 0] = 8  # the mean is 1
    above = 12.5**0.5 / 2 * np.array([1, 0.5, 0, 0])  # bilinearly twice as wide: 1, 3/4, 1/4, 0
    expected = np.zeros((1, 2, 4))
    expected[0, 0, 0] = np.sqrt(above[0] * 7)
    np.testing.assert_allclose(activation_map(features, fine_features), expected, atol=2e-3)
