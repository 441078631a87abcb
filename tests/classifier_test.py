import keras
import numpy as np
import pytest
import scipy.special
from conftest import weight_gradients
from keras import layers, ops

from rra_keras import RRAClassifier
from rra_keras.layers.zoom_crop import zoom_crop
from rra_keras.models.base import CrossEntropy
from rra_keras.models.classifier import box_to_read
from rra_keras.runs.collect import by_photo

VIEWS = {
    "glance": (32, 32, 3),
    "boxes": (2, 4),
    "votes": (2,),
    "distinct": (2,),
    "refinements": (2,),
    "found": (2, 2, 4),
    "views": (2, 1, 4),
    "read_boxes": (2, 4),
    "fixation_logits": (2, 3),
    "fixation_scores": (2,),
    "fixation_weights": (2,),
    "reads": (1,),
    "score": (1,),
    "logits": (3,),
}
BY_FIXATION = {"crops": (32, 32, 3), "features": (4, 4, 16), "vector": (16,)}


def cross_entropy(logits, labels):
    """Of each example, in NumPy."""
    return -scipy.special.log_softmax(logits, axis=-1)[np.arange(len(labels)), labels]


def view(model, images, *names):
    outputs = by_photo(model.view(*names)(np.float32(images)), len(images))
    return [outputs[name] for name in names]


# === Training ===


def test_compile_adam_trains_the_cross_entropy_of_the_logits(build, batch):
    images, labels = batch
    model = build(max_fixations=1)
    logits = model.predict(images, verbose=0)
    model.compile("adam")
    measured = model.evaluate(images, labels, verbose=0, return_dict=True)
    np.testing.assert_allclose(measured["loss"], cross_entropy(logits, labels).mean(), rtol=1e-5)
    accuracy = np.mean(logits.argmax(axis=-1) == labels)
    np.testing.assert_allclose(measured["accuracy"], accuracy, rtol=1e-5)


def test_labels_may_be_integers_a_column_or_one_hot(build, batch):
    images, labels = batch
    model, losses = build(), []
    for form in (labels, labels[:, None], np.eye(3)[labels], labels.astype("uint8")):
        model.compile("adam")
        losses.append(model.evaluate(images, form, verbose=0))
    for measured in losses[1:]:
        np.testing.assert_allclose(measured, losses[0], rtol=1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_cross_entropy_equals_keras(smoothing):
    logits = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")
    labels = np.array([0, 1, 2, 3, 1])
    theirs = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=smoothing)
    expected = float(theirs(np.eye(4)[labels], logits))
    for form in (labels, labels[:, None], np.eye(4)[labels]):
        assert float(CrossEntropy(smoothing)(form, logits)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    "loss", ["auto", "categorical_crossentropy", "sparse_categorical_crossentropy"]
)
def test_a_cross_entropy_by_name_is_one_of_logits(build, batch, loss):
    images, labels = batch
    model = build(max_fixations=1)
    logits = model.predict(images, verbose=0)
    model.compile("adam", loss=loss)
    measured = model.evaluate(images, labels, verbose=0, return_dict=True)["loss"]
    np.testing.assert_allclose(measured, cross_entropy(logits, labels).mean(), rtol=1e-5)


def test_fit_with_class_weight_sample_weight_and_validation_data(build, batch):
    images, labels = batch
    model = build(max_fixations=1)
    model.compile(keras.optimizers.SGD(0.0))  # so that the loss is that of the weights given
    losses = cross_entropy(model(np.float32(images), training=False), labels)
    measured = model.evaluate(images, labels, sample_weight=np.arange(9.0), verbose=0)
    np.testing.assert_allclose(measured[0], np.mean(losses * np.arange(9)), rtol=1e-5)
    history = model.fit(
        images,
        labels,
        batch_size=9,
        class_weight={0: 0.0, 1: 1.0, 2: 5.0},
        validation_data=(images, labels[:, None]),
        verbose=0,
    ).history
    np.testing.assert_allclose(history["val_loss"], losses.mean(), rtol=1e-5)
    assert set(history) == {"loss", "accuracy", "val_loss", "val_accuracy"}


def test_metrics_and_loss_of_ones_own(build, batch):
    images, labels = batch
    model = build()
    metrics = [keras.metrics.SparseTopKCategoricalAccuracy(3, "top_3")]
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss=loss, metrics=metrics)
    measured = model.evaluate(images, labels, verbose=0, return_dict=True)
    assert measured["top_3"] == 1.0
    logits = model.predict(images, verbose=0)
    np.testing.assert_allclose(measured["loss"], cross_entropy(logits, labels).mean(), rtol=1e-4)
    model = build()
    model.compile("sgd", metrics=None)
    assert set(model.evaluate(images, labels, verbose=0, return_dict=True)) == {"loss"}


def test_training_learns_what_an_untrained_copy_does_not_know(build, batch):
    """On the very batch, from the same weights: the color of the square is its label."""
    model = build(max_fixations=1)
    model.compile(keras.optimizers.Adam(0.01))
    before = model.evaluate(*batch, verbose=0, return_dict=True)
    model.fit(*batch, batch_size=9, epochs=40, verbose=0)
    after = model.evaluate(*batch, verbose=0, return_dict=True)
    assert after["loss"] < 0.5 * before["loss"]


def test_the_localizer_and_the_trunk_stay_as_they_are(build, batch):
    for train_from in ("block_1", None):  # None trains the whole encoder: the trunk is a copy
        model = build(train_from=train_from)
        attention = model.attention
        kept = [
            w.copy() for part in (attention.trunk, attention.localizer) for w in part.get_weights()
        ]
        model.compile(keras.optimizers.SGD(0.5))
        before = [w.copy() for w in model.encoder.get_weights()]
        model.fit(*batch, batch_size=9, verbose=0)
        now = [w for part in (attention.trunk, attention.localizer) for w in part.get_weights()]
        for one, other in zip(kept, now, strict=True):
            np.testing.assert_array_equal(one, other)
        changed = [
            not np.array_equal(a, b)
            for a, b in zip(before, model.encoder.get_weights(), strict=True)
        ]
        assert any(changed)
        assert all(changed) == (train_from is None)


def test_train_from_freezes_what_is_before(trained):
    paths = {variable.path for variable in trained.trainable_variables}
    assert not [path for path in paths if "block_0_conv" in path]
    assert [path for path in paths if "block_1_conv" in path]


def test_boxes_carry_no_gradient(build, batch):
    gradients = weight_gradients(
        build(), np.float32(batch[0]), lambda logits: ops.sum(ops.square(logits))
    )
    assert {path.split("/")[-2] for path, values in gradients.items() if values.any()} == {
        *("block_0_conv", "block_1_conv", "classifier")
    }


# === What it says ===


def test_mixed_precision_keeps_boxes_and_logits_in_float32(build, batch):
    full, half = build(), build(dtype="mixed_bfloat16")
    half.set_weights(full.get_weights())
    images = np.float32(batch[0])
    assert keras.backend.standardize_dtype(half(images).dtype) == "float32"
    seen = half.view("boxes", "crops")(images)
    assert keras.backend.standardize_dtype(seen["boxes"].dtype) == "float32"
    assert keras.backend.standardize_dtype(seen["crops"].dtype) == "bfloat16"
    np.testing.assert_allclose(half(images), full(images), atol=0.05)


def test_predictions_are_deterministic_and_independent_of_the_batch(trained, batch):
    whole = trained.predict(batch[0], verbose=0)
    np.testing.assert_array_equal(trained.predict(batch[0], verbose=0), whole)
    for i in (0, 5):
        single = trained.predict(batch[0][i : i + 1], verbose=0)
        np.testing.assert_allclose(single[0], whole[i], atol=1e-4)


def test_bytes_and_floats_give_the_same_predictions(trained, batch):
    np.testing.assert_allclose(
        trained.predict(batch[0], verbose=0),
        trained.predict(batch[0].astype("float32"), verbose=0),
        atol=1e-5,
    )


def test_without_a_localizer_it_is_the_plain_backbone(build, backbone, batch):
    model = build(localizer=None)
    images = np.float32(batch[0])
    features = np.asarray(backbone(images))
    kernel, bias = model.classifier.get_weights()
    np.testing.assert_allclose(model(images), features.mean((1, 2)) @ kernel + bias, atol=1e-4)
    assert set(model.intermediates) == {"features", "vector", "score", "logits"}
    assert model.attention is None


def test_one_fixation_is_a_plain_classifier_of_the_crop(build, backbone, batch):
    model = build(max_fixations=1)
    crops, logits = view(model, batch[0], "crops", "logits")
    kernel, bias = model.classifier.get_weights()
    features = np.asarray(backbone(crops)).mean((1, 2))
    np.testing.assert_allclose(logits, features @ kernel + bias, atol=1e-4)


def test_crops_are_cut_where_objects_are_to_be_read(trained, batch):
    boxes, read, crops = view(trained, batch[0], "boxes", "read_boxes", "crops")
    np.testing.assert_allclose(read, box_to_read(boxes), atol=1e-6)
    for k in range(2):
        expected = zoom_crop(np.float32(batch[0]), read[:, k], (32, 32), stride=4)
        np.testing.assert_allclose(crops[:, k], expected, atol=1e-3)


def test_the_answer_is_the_weighted_sum_of_the_fixations(trained, batch):
    logits, by_place, weights = view(
        trained, batch[0], "logits", "fixation_logits", "fixation_weights"
    )
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(logits, np.einsum("nk,nkc->nc", weights, by_place), atol=1e-4)


def test_view_has_every_intermediate(trained, batch):
    assert set(trained.intermediates) == set(VIEWS) | set(BY_FIXATION)
    seen = trained.view(*trained.intermediates)(np.float32(batch[0]))
    for name, shape in VIEWS.items():
        assert seen[name].shape == (9, *shape), name
    for name, shape in BY_FIXATION.items():
        assert seen[name].shape == (18, *shape), name


def test_preprocess_is_what_the_backbone_sees(build, batch):
    plain = build(localizer=None)
    scaled = build(localizer=None, preprocess=layers.Rescaling(0.5))
    scaled.set_weights(plain.get_weights())
    np.testing.assert_allclose(
        scaled(np.float32(batch[0])), plain(0.5 * np.float32(batch[0])), atol=1e-5
    )


def test_rebuilt_with_the_gathering_crop_predicts_the_same(trained, batch):
    rebuilt = RRAClassifier.from_config({**trained.get_config(), "crop_method": "gather"})
    rebuilt.set_weights(trained.get_weights())
    np.testing.assert_allclose(
        rebuilt.predict(batch[0], verbose=0), trained.predict(batch[0], verbose=0), atol=1e-3
    )


def test_handed_over_backbone_is_left_as_it_was(build, backbone, batch):
    before = [w.copy() for w in backbone.get_weights()]
    model = build()
    model.compile(keras.optimizers.SGD(1.0))
    model.fit(*batch, verbose=0)
    for one, other in zip(before, backbone.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_crop_may_have_any_shape(build, batch):
    crops, features = view(build(crop_size=(32, 48)), batch[0], "crops", "features")
    assert crops.shape == (9, 2, 32, 48, 3)
    assert features.shape == (9, 2, 4, 6, 16)
