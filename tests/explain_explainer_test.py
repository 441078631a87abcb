import keras
import numpy as np
import pytest
from conftest import tensorflow_only, vote_at_random
from tf_keras_vis.gradcam import Gradcam

from rra_keras.explain import Explainer, Explanation
from rra_keras.explain.cam import ClassActivation
from rra_keras.layers.zoom_crop import zoom_crop
from rra_keras.measures.maps import areas, edges, paste, upsample

pytestmark = tensorflow_only("Grad-CAM by tf-keras-vis")


def spread_out(model):
    """Give the classifiers weights large enough to tell classes apart."""
    rng = np.random.default_rng(0)
    for weight in model.weights:
        if "classifier" in weight.path or "scorer" in weight.path:
            weight.assign(rng.normal(size=weight.shape))
    return model


def test_each_step_s_map_is_grad_cam_of_its_own_score_through_the_whole_model(build, batch):
    model = spread_out(build(looks=2, steps=2, patch_size=(16, 32)))
    images, classes = batch[0][:3].astype("float32"), [0, 2, 1]
    seen = Explainer(model)(images, classes)
    assert seen.step_maps.shape == (3, 4, 2, 4)
    whole = Gradcam(model.view("step_logits"), clone=False)
    for step, look in enumerate((1, 1, 2, 2)):

        def score(outputs, step=step):
            (logits,) = outputs.values() if isinstance(outputs, dict) else (outputs,)
            return [logits[i, step, c] for i, c in enumerate(classes)]

        expected = whole(
            score,
            images,
            penultimate_layer=f"look_{look}_features",
            seek_penultimate_conv_layer=False,
            expand_cam=False,
            normalize_cam=False,
        )
        np.testing.assert_allclose(seen.step_maps[:, step], 8 * np.asarray(expected), rtol=1e-4)
    assert seen.step_maps.max() > 0


def test_a_map_s_mean_is_the_first_order_part_of_the_score(build, batch):
    # With one dense layer on pooled features of one sign, Grad-CAM has no rest.
    model = build(looks=0)
    weights = np.ones((16, 3), "float32") * [1.0, 2.0, 3.0]
    model.get_layer("glance_classifier").set_weights([weights, np.zeros(3)])
    seen = Explainer(model)(batch[0].astype("float32"))
    assert (seen.classes == 2).all()
    np.testing.assert_allclose(
        seen.glance_map.mean(axis=(1, 2)), seen.logits[:, 2], rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("looks", [0, 1, 2, 3])
def test_any_number_of_looks_and_a_loaded_model(build, batch, tmp_path, looks):
    model = spread_out(build(looks=looks, steps=3))
    images = batch[0][:2].astype("float32")
    seen = Explainer(model)(images)
    total = 3 * looks
    assert seen.looks == looks
    assert seen.boxes.shape == (2, looks, 4)
    assert seen.step_weights.shape == (2, total)
    assert seen.step_logits.shape == (2, total, 3)
    assert seen.maps_in_image(40).shape == (2, 1 + total, 40, 40)
    assert seen.course().shape == (2, 2 + total, 3)
    np.testing.assert_allclose(seen.course().sum(axis=-1), 1, rtol=1e-5)
    np.testing.assert_array_equal(seen.classes, seen.logits.argmax(-1))
    if looks:
        np.testing.assert_allclose(seen.step_weights.sum(axis=-1), 1, rtol=1e-5)
        viewed = model.view("boxes", "step_weights").predict_on_batch(images)
        np.testing.assert_allclose(seen.boxes, viewed["boxes"], atol=1e-6)
        np.testing.assert_allclose(seen.step_weights, viewed["step_weights"], atol=1e-6)
    model.save(tmp_path / "model.keras")
    again = Explainer(keras.models.load_model(tmp_path / "model.keras"), run_eagerly=True)(images)
    for name in ("logits", "boxes", "glance_map", "step_maps", "step_weights"):
        np.testing.assert_allclose(getattr(again, name), getattr(seen, name), atol=1e-4)


def test_the_course_ends_at_the_answer_s_and_starts_at_the_glance_s_probabilities(build, batch):
    model = spread_out(build(look_weight=2.0))
    seen = Explainer(model)(batch[0].astype("float32"))
    logits = np.stack(
        [
            seen.glance_logits,
            *(seen.glance_logits + 2 * seen.step_logits[:, t] for t in range(2)),
            np.asarray(model.predict(batch[0], verbose=0)),
        ],
        axis=1,
    )
    expected = keras.ops.convert_to_numpy(keras.ops.softmax(logits))
    np.testing.assert_allclose(seen.course(), expected, atol=1e-5)


def test_explanations_join_and_come_apart(build, batch):
    model = build()
    explainer = Explainer(model)
    images = batch[0].astype("float32")
    whole, parts = explainer(images), [explainer(images[:4]), explainer(images[4:])]
    joined = Explanation.concatenate(parts)
    np.testing.assert_allclose(joined.step_maps, whole.step_maps, atol=1e-5)
    np.testing.assert_array_equal(joined[[7, 2]].classes, whole.classes[[7, 2]])
    assert joined[[7, 2]].look_weight == whole.look_weight


def test_grad_cam_plus_plus_and_an_unknown_method(build, batch):
    model = spread_out(build())
    images = batch[0][:2].astype("float32")
    plain, plus = Explainer(model)(images), Explainer(model, method="gradcam++")(images)
    assert plus.step_maps.shape == plain.step_maps.shape
    assert np.isfinite(plus.step_maps).all()
    assert not np.allclose(plus.step_maps, plain.step_maps)
    with pytest.raises(ValueError, match=r"Received: method='cam'"):
        ClassActivation(model, ["look_1_features"], "step_logits", "cam")


def test_paste_puts_cells_where_the_box_is():
    maps = np.array([[[1.0, 3.0]]])  # one row, two columns
    pasted = paste(maps, [[0.25, 0.0, 0.75, 1.0]], 4)
    # Column centers 1/8, 3/8, 5/8, 7/8 of the box; cell centers 1/4 and 3/4 of it.
    row = [1.0, 1.5, 2.5, 3.0]
    np.testing.assert_allclose(pasted[0], [[0] * 4, row, row, [0] * 4], atol=1e-6)


def test_a_pasted_map_is_cut_out_again_by_its_box():
    rng = np.random.default_rng(0)
    maps = rng.uniform(size=(2, 5, 5)).astype("float32")
    boxes = np.array([[0.1, 0.3, 0.6, 0.8], [0.4, 0.0, 1.0, 0.6]])
    pasted = paste(maps, edges(boxes, 256), 256)
    again = np.asarray(zoom_crop(pasted[..., None], boxes.astype("float32"), (64, 64)))[..., 0]
    expected = upsample(maps, 64)
    np.testing.assert_allclose(again[:, 2:-2, 2:-2], expected[:, 2:-2, 2:-2], atol=0.06)


def test_upsampling_keeps_a_map_of_the_same_size_and_its_constant():
    maps = np.arange(9.0).reshape(1, 3, 3)
    np.testing.assert_allclose(upsample(maps, 3), maps, atol=1e-6)
    np.testing.assert_allclose(upsample(np.full((1, 2, 5), 7.0), 9), 7.0, atol=1e-6)


def test_the_combined_map_weighs_steps_and_thins_evidence_over_larger_boxes():
    boxes = np.array([[[0.0, 0.0, 1.0, 0.5], [0.0, 0.0, 0.5, 0.5]]])
    seen = Explanation(
        classes=np.array([0]),
        logits=np.zeros((1, 2)),
        scores=np.zeros(1),
        glance_logits=np.zeros((1, 2)),
        step_logits=np.zeros((1, 2, 2)),
        step_weights=np.array([[0.25, 0.75]]),
        boxes=boxes,
        object_boxes=boxes[:, :0],
        views=boxes[:, :0],
        refined=np.array([0]),
        glance_map=np.zeros((1, 1, 1)),
        step_maps=np.array([[[[2.0]], [[1.0]]]]),
        look_weight=1.0,
        temperature=1.0,
    )
    # Look 1: 0.25 · 2 over half of the image; look 2: 0.75 · 1 over a quarter.
    np.testing.assert_allclose(seen.combined_map(2), [[[1.0 + 3.0, 0], [1.0, 0]]], rtol=1e-6)
    # Its mean is the weighted sum of the maps' means.
    assert seen.combined_map(2).mean() == pytest.approx(0.25 * 2 + 0.75 * 1)


def test_the_answer_s_map_is_the_glance_s_and_lambda_times_the_steps(build, batch):
    images = batch[0][:3].astype("float32")
    seen = Explainer(spread_out(build(look_weight=3.0)))(images)
    expected = upsample(seen.glance_map, 16) + 3 * seen.combined_map(16)
    np.testing.assert_allclose(seen.answer_map(16), expected, rtol=1e-5)
    plain = Explainer(spread_out(build(looks=0)))(images)
    np.testing.assert_array_equal(plain.answer_map(16), upsample(plain.glance_map, 16))


def test_the_course_is_of_logits_divided_by_the_temperature(build, batch):
    images = batch[0][:2].astype("float32")
    model = spread_out(build())
    hot = Explainer(model)(images).course()
    model.temperature = 2.0
    mild = np.sqrt(hot)  # of half the logits, up to their sum
    mild /= mild.sum(axis=-1, keepdims=True)
    np.testing.assert_allclose(Explainer(model)(images).course(), mild, rtol=1e-4)


def test_what_is_below_the_model_s_threshold_is_not_known(build, batch):
    images = batch[0][:3].astype("float32")
    model = spread_out(build())
    scores = Explainer(model)(images).logits.max(axis=-1)
    assert Explainer(model)(images).known.all()
    model.known_from = float(np.median(scores))
    assert Explainer(model)(images).known.tolist() == (scores >= np.median(scores)).tolist()


def test_edges_and_areas():
    np.testing.assert_allclose(edges([0.0, 0.0, 1.0, 1.0], 4), [0.125, 0.125, 0.875, 0.875])
    np.testing.assert_allclose(areas([[0.25, 0.5, 0.75, 0.75], [0.5, 0.5, 0.2, 1.0]]), [0.125, 0])


def test_how_it_closed_in_is_told(build, batch):
    model = build(localizer="box", train_from="block_1", glance_size=32, refinements=2)
    vote_at_random(model.localizer)
    seen = Explainer(model)(batch[0][:4])
    np.testing.assert_array_equal(seen.refined, [1, 2, 0, 1])
    assert seen.views.shape == (4, 2, 4)
    first, second, third = seen.object_boxes[1]
    # A view reaches beyond the box that was found before by 0.15 of what was seen before.
    reach = 0.15 * np.array([-1, -1, 1, 1])
    np.testing.assert_allclose(seen.views[1, 0], np.clip(first + reach, 0, 1), atol=1e-6)
    side = np.tile(seen.views[1, 0, 2:] - seen.views[1, 0, :2], 2)
    np.testing.assert_allclose(seen.views[1, 1], np.clip(second + reach * side, 0, 1), atol=1e-6)
    assert (third != second).any()
    np.testing.assert_array_equal(seen.object_boxes[0, 1], seen.object_boxes[0, 2])  # it had ended
    assert seen[:2].views.shape == (2, 2, 4)
    assert Explainer(build())(batch[0][:1]).views.shape == (1, 0, 4)
