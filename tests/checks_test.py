"""Photos and labels that cannot be right are refused, whatever they come in."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import tensorflow_only

import rra_keras
from rra_keras.discovery import search
from rra_keras.measures.photos import check_labels, check_photos
from rra_keras.models.base import CrossEntropy

PHOTOS = np.random.default_rng(0).integers(0, 255, (12, 32, 32, 3)).astype("float32")
LABELS = np.arange(12) % 3


@pytest.fixture(scope="module")
def model(backbone):
    model = rra_keras.RRAClassifier(backbone, 3, image_size=32, localizer=None)
    model.compile("adam")
    return model


def arrays(photos, labels):
    return photos, labels


def tensors(photos, labels):
    return keras.ops.convert_to_tensor(photos), keras.ops.convert_to_tensor(labels)


def dataset(photos, labels):
    return (tf.data.Dataset.from_tensor_slices((photos, labels)).batch(4),)


@pytest.mark.parametrize("form", [arrays, tensors, dataset])
@pytest.mark.parametrize(
    ("shift", "said"), [(1, r"Received: 1 to 3; do they count from 1\?"), (-1, "Received: -1 to 1")]
)
def test_labels_of_no_class_are_refused_before_they_teach(model, form, shift, said):
    before = [np.array(weight) for weight in model.get_weights()]
    with pytest.raises(ValueError, match=r"`y`\. Expected labels in 0…2, for 3 classes\. " + said):
        model.fit(*form(PHOTOS, LABELS + shift), verbose=0, shuffle=False)
    with pytest.raises(ValueError, match="`y`"):
        model.evaluate(*form(PHOTOS, LABELS + shift), verbose=0)
    for weight, old in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, old)


def test_validation_data_are_checked(model):
    with pytest.raises(ValueError, match="labels in 0…2"):
        model.fit(PHOTOS, LABELS, validation_data=(PHOTOS, LABELS + 1), verbose=0)
    with pytest.raises(ValueError, match="labels in 0…2"):
        model.fit(PHOTOS, LABELS, validation_data=dataset(PHOTOS, LABELS + 1)[0], verbose=0)


@pytest.mark.parametrize("form", [arrays, dataset])
@pytest.mark.parametrize("pixel", [np.nan, 1000.0])
def test_pixels_that_are_none_are_refused(model, form, pixel):
    photos = PHOTOS.copy()
    photos[5] = pixel
    with pytest.raises(ValueError, match=r"`x`\. Expected (finite )?pixels"):
        model.fit(*form(photos, LABELS), verbose=0, shuffle=False)


@pytest.mark.parametrize("form", [arrays, dataset])
def test_pixels_from_0_to_1_are_warned_of(model, form):
    with pytest.warns(
        UserWarning, match=r"pixels in 0…255\. Received: photos with none above 0\.9"
    ):
        model.fit(*form(PHOTOS / 256, LABELS), verbose=0, shuffle=False)
    with pytest.warns(UserWarning, match="multiply them by 255"):
        model.predict(form(PHOTOS / 256, LABELS)[0], verbose=0)


@pytest.mark.parametrize("form", [arrays, tensors, dataset])
def test_what_is_right_passes(model, form):
    for photos, labels in (
        (PHOTOS, LABELS),
        (PHOTOS.astype("uint8"), np.eye(3)[LABELS]),
        (PHOTOS.astype("float64"), LABELS[:, None]),
    ):
        model.compile("adam")  # labels of another rank are another function
        model.fit(*form(photos, labels), verbose=0, shuffle=False)
    assert model.predict(form(PHOTOS, LABELS)[0], verbose=0).shape == (12, 3)


def test_a_label_of_no_class_makes_the_loss_nan():
    losses = CrossEntropy(reduction=None)(np.array([0, 3, -1]), np.zeros((3, 3), "float32"))
    np.testing.assert_allclose(losses, [np.log(3), np.nan, np.nan], rtol=1e-6)


@pytest.mark.parametrize(
    ("labels", "passes"),
    [([0, 2], True), ([[0], [2]], True), (np.eye(3), True), ([], True), ([0.0, 3.0], False)],
)
def test_labels_in_every_form(labels, passes):
    if passes:
        check_labels(labels, 3)
    else:
        with pytest.raises(ValueError, match="labels in 0…2"):
            check_labels(labels, 3)


def test_photos_that_are_black_are_photos():
    check_photos(np.zeros((2, 8, 8, 3)))


FORMS = {
    "arrays": lambda: (PHOTOS, LABELS),
    "bytes": lambda: (PHOTOS.astype("uint8"), LABELS),
    "doubles": lambda: (PHOTOS.astype("float64"), LABELS),
    "lists": lambda: (list(PHOTOS), list(LABELS)),
    "tensors": lambda: tensors(PHOTOS, LABELS),
    "one-hot": lambda: (PHOTOS, np.eye(3)[LABELS]),
    "batches": lambda: dataset(PHOTOS, LABELS),
    "single ones": lambda: (tf.data.Dataset.from_tensor_slices((PHOTOS, LABELS)),),
}


@pytest.mark.parametrize("form", FORMS)
def test_objects_are_looked_for_in_photos_of_every_form(form, monkeypatch, backbone):
    seen = {}

    def run(search, rounds):
        seen.update(photos=search.photos, labels=search.labels)
        raise InterruptedError

    monkeypatch.setattr(search.Search, "run", run)
    with pytest.raises(InterruptedError):
        rra_keras.find_objects(*FORMS[form](), backbone=backbone, train_from="block_1")
    np.testing.assert_array_equal(seen["photos"], PHOTOS)
    assert seen["photos"].dtype in ("float32", "uint8")
    np.testing.assert_array_equal(seen["labels"], np.eye(3)[LABELS])


@pytest.mark.parametrize(
    ("photos", "said"),
    [
        (np.full((12, 32, 32, 3), np.nan), "finite pixels"),
        (PHOTOS[:, :16], r"square RGB photos"),
        (PHOTOS[:0], "Received: none"),
        (tf.data.Dataset.from_tensor_slices((PHOTOS, LABELS)), "None beside a data set"),
    ],
)
def test_objects_are_not_looked_for_in_what_is_no_photos(photos, said):
    with pytest.raises(ValueError, match=said):
        rra_keras.find_objects(photos, LABELS, "tiny", weights="random", glance_size=32)


@tensorflow_only("the same by JAX, which takes long to compile it")
def test_objects_of_other_photos_than_the_models_are_refused():
    objects = rra_keras.find_objects(
        PHOTOS, LABELS, "tiny", weights="random", glance_size=32, one_object=True
    )
    with pytest.raises(ValueError, match=r"`image_size`\. Expected 32.*Received: image_size=64"):
        rra_keras.RRAClassifier.from_preset(
            "edge", 3, objects=objects, weights="random", image_size=64
        )
