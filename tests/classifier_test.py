import inspect

import keras
import numpy as np
import pytest
import scipy.special
import tensorflow as tf
from conftest import weight_gradients
from keras import layers, ops

from rra_keras import CamLocalizer, RRAClassifier

VIEWS = {
    "glance_features": (4, 4, 16),
    "look_1_crop": (32, 32, 3),
    "look_1_features": (4, 4, 16),
    "look_2_crop": (32, 32, 3),
    "look_2_features": (4, 4, 16),
    "boxes": (2, 4),
    "states": (4, 8),
    "step_weights": (4,),
    "step_logits": (4, 3),
    "glance_logits": (3,),
    "look_logits": (3,),
    "logits": (3,),
}


def cross_entropy(logits, labels):
    """Of each example, in NumPy."""
    return -scipy.special.log_softmax(logits, axis=-1)[np.arange(len(labels)), labels]


def streams(model, images):
    return {name: np.asarray(value) for name, value in model(np.float32(images)).items()}


def view(model, images, *names):
    outputs = model.view(*names)(np.float32(images))
    return [np.asarray(outputs[name]) for name in names]


# === Training ===


def test_compile_adam_trains_the_sum_of_both_cross_entropies(build, batch):
    images, labels = batch
    model = build(look_loss_weight=0.3, glance_loss_weight=2.0, look_weight=5.0)
    outputs = streams(model, images)
    model.compile("adam")
    loss = 2.0 * cross_entropy(outputs["glance_logits"], labels)
    loss += 0.3 * cross_entropy(outputs["look_logits"], labels)
    measured = model.evaluate(images, labels, verbose=0, return_dict=True)
    np.testing.assert_allclose(measured["loss"], loss.mean(), rtol=1e-5)
    for stream, logits in outputs.items():
        accuracy = np.mean(logits.argmax(axis=-1) == labels)
        np.testing.assert_allclose(measured[f"{stream}_accuracy"], accuracy, rtol=1e-5)


def test_labels_may_be_integers_a_column_or_one_hot(build, batch):
    images, labels = batch
    model, losses = build(), []
    for form in (labels, labels[:, None], np.eye(3)[labels], labels.astype("uint8")):
        model.compile("adam")
        losses.append(model.evaluate(images, form, verbose=0))
    for measured in losses[1:]:
        np.testing.assert_allclose(measured, losses[0], rtol=1e-6)


def test_example_of_weight_zero_has_no_say(trained, batch):
    images, labels = batch
    weights = np.array([0, 2, 1, 1, 1, 1, 1, 1, 1], "float32")
    outputs = streams(trained, images)
    losses = sum(cross_entropy(outputs[s], labels) for s in ("glance_logits", "look_logits"))
    measured = trained.evaluate(images, labels, sample_weight=weights, verbose=0, return_dict=True)
    np.testing.assert_allclose(measured["loss"], np.mean(losses * weights), rtol=1e-5)
    other_images, other_labels = images.copy(), labels.copy()
    other_images[0], other_labels[0] = 255 - images[0], 2
    again = trained.evaluate(
        other_images, other_labels, sample_weight=weights, verbose=0, return_dict=True
    )
    np.testing.assert_allclose(again["loss"], measured["loss"], rtol=1e-5)


def test_fit_with_class_weight_and_validation_data(build, batch):
    images, labels = batch
    model = build()
    model.compile(keras.optimizers.SGD(0.0))  # so that the loss is that of the weights given
    outputs = streams(model, images)
    losses = sum(cross_entropy(outputs[s], labels) for s in ("glance_logits", "look_logits"))
    history = model.fit(
        images,
        labels,
        batch_size=9,
        class_weight={0: 0.0, 1: 1.0, 2: 5.0},
        validation_data=(images, labels[:, None]),
        verbose=0,
    ).history
    np.testing.assert_allclose(
        history["loss"], np.mean(losses * np.array([0, 1, 5])[labels]), rtol=1e-5
    )
    np.testing.assert_allclose(history["val_loss"], losses.mean(), rtol=1e-5)
    assert {"val_logits_accuracy", "val_glance_logits_accuracy", "val_look_logits_accuracy"} < set(
        history
    )


def test_metrics_and_loss_of_ones_own(build, batch):
    images, labels = batch
    model = build()
    model.compile(
        "adam",
        loss=keras.losses.CategoricalFocalCrossentropy(from_logits=True, alpha=1.0, gamma=0.0),
        metrics=[keras.metrics.TopKCategoricalAccuracy(3, "top_3")],
    )
    measured = model.evaluate(images, labels, verbose=0, return_dict=True)
    assert measured["logits_top_3"] == 1.0
    assert not [name for name in measured if name.endswith("_accuracy")]
    outputs = streams(model, images)
    loss = sum(cross_entropy(outputs[s], labels) for s in ("glance_logits", "look_logits"))
    np.testing.assert_allclose(measured["loss"], loss.mean(), rtol=1e-4)


def test_training_learns_what_an_untrained_copy_does_not_know(build, batch):
    """On the very batch, from the same weights: the color of the square is its label."""
    model = build()
    model.compile(keras.optimizers.Adam(0.01))
    before = model.evaluate(*batch, verbose=0, return_dict=True)
    model.fit(*batch, batch_size=9, epochs=30, verbose=0)
    after = model.evaluate(*batch, verbose=0, return_dict=True)
    assert after["loss"] < 0.5 * before["loss"]
    assert after["logits_accuracy"] == 1.0


def test_compile_takes_keras_arguments_in_its_order():
    ours, theirs = (inspect.signature(m.compile).parameters for m in (RRAClassifier, keras.Model))
    assert list(ours) == list(theirs)


def test_sparse_losses_and_metrics_get_integers(build, batch):
    images, labels = batch
    model = build()
    model.compile("sgd")
    expected = model.evaluate(images, labels, verbose=0, return_dict=True)
    for form in (labels, labels[:, None], np.eye(3)[labels]):
        model.compile(
            "sgd",
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            None,
            [keras.metrics.SparseCategoricalAccuracy("accuracy")],
        )
        measured = model.evaluate(images, form, verbose=0, return_dict=True)
        np.testing.assert_allclose(measured["loss"], expected["loss"], rtol=1e-5)
        assert measured["logits_accuracy"] == expected["logits_accuracy"]


def test_a_stream_s_metrics_are_sparse_or_not(build):
    metrics = [keras.metrics.SparseCategoricalAccuracy(), keras.metrics.CategoricalAccuracy()]
    with pytest.raises(ValueError, match=r"`metrics`.*sparse.*Received: .*'logits'"):
        build().compile("sgd", metrics=metrics)


def test_none_means_none(build, batch):
    model = build()
    model.compile("sgd", metrics=None)
    assert set(model.evaluate(*batch, verbose=0, return_dict=True)) == {
        *("loss", "glance_logits_loss", "look_logits_loss")
    }


def test_train_from_freezes_what_is_before(trained, backbone, build):
    frozen = backbone.get_layer("block_0_conv").kernel
    paths = {variable.path for variable in trained.trainable_variables}
    assert not [path for path in paths if "block_0_conv" in path]
    assert [path for path in paths if "block_1_conv" in path]
    assert len(build(looks=2).trainable_variables) == len(paths) + 2
    assert [w for w in trained.get_weights() if np.array_equal(w, frozen)]
    changed = backbone.get_layer("block_1_conv").kernel
    assert not [w for w in trained.get_weights() if np.array_equal(w, changed)]


def test_gradient_of_the_local_loss_reaches_the_localizers_input(build, batch):
    """Through the boxes alone, so it is as much as `box_gradient` lets through."""
    images, labels = batch
    keras.utils.set_random_seed(1)  # a start from which boxes move under either backend
    weights, gradients = None, {}
    for share in (0.0, 0.01, 1.0):
        model = build(localizer=CamLocalizer(min_size=0.05, max_size=0.95), box_gradient=share)
        weights = weights or model.get_weights()
        model.set_weights(weights)
        by_path = weight_gradients(
            model,
            np.float32(images),
            lambda outputs: ops.sum(
                keras.losses.sparse_categorical_crossentropy(
                    labels, outputs["look_logits"], from_logits=True
                )
            ),
        )
        gradients[share] = by_path["glance_classifier/kernel"]
    assert np.abs(gradients[1.0]).max() > 0
    np.testing.assert_array_equal(gradients[0.0], np.zeros((16, 3)))
    np.testing.assert_allclose(gradients[0.01], 0.01 * gradients[1.0], rtol=1e-3, atol=1e-8)


def test_mixed_precision_keeps_boxes_and_logits_in_float32(build, batch):
    model, half = build(looks=2), build(looks=2, dtype="mixed_float16")
    assert half.dtype_policy.name == half.encoder.layers[-1].dtype_policy.name == "mixed_float16"
    assert keras.config.dtype_policy().name == "float32"
    half.set_weights(model.get_weights())
    half.compile("adam")
    loss = half.fit(*batch, verbose=0).history["loss"]
    half.set_weights(model.get_weights())
    assert np.isfinite(loss).all()
    names = ("boxes", "logits", "glance_logits", "look_logits", "step_logits")
    for output, full in zip(
        view(half, batch[0], *names), view(model, batch[0], *names), strict=True
    ):
        assert output.dtype == "float32"
        np.testing.assert_allclose(output, full, atol=1e-2)
    assert view(half, batch[0], "look_2_crop")[0].dtype == "float16"


# === What the outputs are ===


def test_predict_is_the_glance_s_plus_lambda_times_the_looks_logits(build, batch):
    model = build(look_weight=0.3)
    outputs = streams(model, batch[0])
    expected = outputs["glance_logits"] + 0.3 * outputs["look_logits"]
    np.testing.assert_allclose(outputs["logits"], expected, atol=1e-6)
    np.testing.assert_allclose(model.predict(batch[0], verbose=0), expected, atol=1e-6)
    np.testing.assert_allclose(model.predict_on_batch(batch[0]), expected, atol=1e-6)


def test_predictions_are_deterministic_and_independent_of_the_batch(trained, batch):
    images, _ = batch
    logits = trained.predict(images, verbose=0)
    np.testing.assert_array_equal(trained.predict(images, verbose=0), logits)
    np.testing.assert_allclose(trained.predict(images[4:6], verbose=0), logits[4:6], atol=1e-5)


def test_bytes_and_floats_give_the_same_predictions(trained, batch):
    images, _ = batch
    as_bytes = trained.predict(images, verbose=0)
    as_floats = trained.predict(np.float32(images), verbose=0)
    np.testing.assert_allclose(as_floats, as_bytes, atol=1e-6)


def test_no_look_is_the_plain_backbone(build, backbone, batch):
    images, labels = batch
    model = build(looks=0)
    assert list(model.output) == ["logits"]
    pooled = np.asarray(backbone(np.float32(images))).mean(axis=(1, 2))
    kernel, bias = model.glance_classifier.get_weights()
    logits = model.predict(images, verbose=0)
    np.testing.assert_allclose(logits, pooled @ kernel + bias, atol=1e-5)
    model.compile("adam")
    measured = model.evaluate(images, labels, verbose=0, return_dict=True)
    assert set(measured) == {"loss", "accuracy"}
    np.testing.assert_allclose(measured["loss"], cross_entropy(logits, labels).mean(), rtol=1e-5)


@pytest.mark.parametrize("linear_vote", [True, False])
def test_one_look_of_one_step_is_a_plain_classifier_of_the_crop(build, batch, linear_vote):
    model = build(steps=1, linear_vote=linear_vote)
    states, weights, local, features = view(
        model, batch[0], "states", "step_weights", "look_logits", "look_1_features"
    )
    np.testing.assert_array_equal(weights, np.ones((9, 1)))
    kernel, bias = model.step_classifier.get_weights()
    expected = states[:, 0] @ kernel + bias
    if linear_vote:
        kernel, bias = model.vote_classifier.get_weights()
        expected += features.mean(axis=(1, 2)) @ kernel + bias
    np.testing.assert_allclose(local, expected, atol=1e-5)


def test_second_box_is_inside_the_first(trained, batch):
    (boxes,) = view(trained, batch[0], "boxes")
    first, second = boxes[:, 0], boxes[:, 1]
    assert (first[:, :2] >= 0).all()
    assert (first[:, 2:] <= 1).all()
    assert (second[:, :2] >= first[:, :2] - 1e-6).all()
    assert (second[:, 2:] <= first[:, 2:] + 1e-6).all()
    sides = boxes[..., 2:] - boxes[..., :2]
    assert (sides[:, 1] < sides[:, 0]).all()


def test_crops_show_what_is_in_the_boxes(trained, batch):
    boxes, crops = view(trained, batch[0], "boxes", "look_2_crop")
    expected = tf.image.crop_and_resize(np.float32(batch[0]), boxes[:, 1], range(9), (32, 32))
    np.testing.assert_allclose(crops, expected, atol=0.05)


def test_step_logits_weighted_by_the_attention_are_the_look_logits(trained, batch):
    weights, steps, local = view(trained, batch[0], "step_weights", "step_logits", "look_logits")
    np.testing.assert_allclose(weights.sum(axis=1), np.ones(9), atol=1e-6)
    np.testing.assert_allclose(np.einsum("bt,btc->bc", weights, steps), local, atol=1e-5)


# === View ===


def test_view_has_every_intermediate(trained, batch):
    model = trained.view(*VIEWS)
    outputs = model(np.float32(batch[0]))
    assert {name: value.shape[1:] for name, value in outputs.items()} == VIEWS
    assert {name: value.shape[1:] for name, value in model.output.items()} == VIEWS
    np.testing.assert_array_equal(outputs["logits"], streams(trained, batch[0])["logits"])


# === Encoders ===


def test_preprocess_is_what_the_backbone_sees(build, batch):
    plain, scaled = build(), build(preprocess=layers.Rescaling(0.5))
    scaled.set_weights(plain.get_weights())
    np.testing.assert_allclose(
        scaled.predict(2.0 * batch[0], verbose=0), plain.predict(batch[0], verbose=0), atol=1e-5
    )


def test_separate_encoder_has_weights_of_its_own(build, backbone, batch):
    shared, separate = build(), build(shared_encoder=False)
    assert separate.count_params() == shared.count_params() + backbone.count_params()
    before = streams(separate, batch[0])
    crop_encoder = separate.crop_encoder
    crop_encoder.set_weights([np.zeros_like(weight) for weight in crop_encoder.get_weights()])
    after = streams(separate, batch[0])
    np.testing.assert_array_equal(after["glance_logits"], before["glance_logits"])
    assert (after["look_logits"] != before["look_logits"]).any()


def test_separate_encoder_may_have_a_backbone_of_its_own(build, batch):
    image = keras.Input((None, None, 3))
    narrow = keras.Model(image, layers.Conv2D(5, 3, 8, name="block_0")(image))
    model = build(shared_encoder=False, crop_backbone=narrow)
    (features,) = view(model, batch[0], "look_1_features")
    assert features.shape == (9, 4, 4, 5)
    assert RRAClassifier.from_config(model.get_config()).get_config() == model.get_config()


def test_rebuilt_with_the_gathering_crop_predicts_the_same(trained, batch):
    rebuilt = RRAClassifier.from_config({**trained.get_config(), "crop_method": "gather"})
    rebuilt.set_weights(trained.get_weights())
    np.testing.assert_allclose(
        rebuilt.predict(batch[0], verbose=0), trained.predict(batch[0], verbose=0), atol=1e-4
    )


def test_handed_over_backbone_is_left_as_it_was(build, backbone, batch):
    before = backbone.get_weights()
    model = build(train_from="block_1")
    model.compile(keras.optimizers.SGD(0.1))
    model.fit(*batch, verbose=0)
    assert len(backbone.trainable_variables) == 4
    for old, new in zip(before, backbone.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


# === Rectangular crops ===


@pytest.mark.parametrize("localizer", ["cam", "center", "random"])
def test_boxes_have_the_crops_aspect_at_every_look(build, batch, localizer):
    model = build(looks=2, patch_size=(16, 32), glance_size=32, localizer=localizer)
    seen = model.view("boxes", "look_1_crop", "look_2_crop").predict(batch[0], verbose=0)
    assert seen["look_2_crop"].shape == (9, 16, 32, 3)
    heights = seen["boxes"][..., 2] - seen["boxes"][..., 0]
    widths = seen["boxes"][..., 3] - seen["boxes"][..., 1]
    np.testing.assert_allclose(widths, 2 * heights, rtol=1e-4)
    inner, outer = seen["boxes"][:, 1], seen["boxes"][:, 0]
    assert (inner[:, :2] >= outer[:, :2] - 1e-5).all()
    assert (inner[:, 2:] <= outer[:, 2:] + 1e-5).all()
