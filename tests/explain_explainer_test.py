import keras
import numpy as np
import pytest
from conftest import tensorflow_only
from tf_keras_vis.gradcam import Gradcam

from rra_keras.explain import Explainer, Explanation
from rra_keras.explain.cam import ClassActivation
from rra_keras.explain.explainer import from_edge_to_edge
from rra_keras.measures.calibration import probabilities
from rra_keras.models import TwoStreamClassifier
from rra_keras.runs.collect import by_photo

pytestmark = tensorflow_only("Grad-CAM by tf-keras-vis")


@pytest.fixture(scope="module")
def paper(backbone):
    keras.utils.set_random_seed(0)
    arguments = {"local_backbone": backbone, "image_size": 64, "crop_size": 32, "units": 6}
    return TwoStreamClassifier(backbone, 3, steps=2, local_weight=0.5, **arguments)


def test_a_map_is_grad_cam_of_its_own_fixation(distinct, batch):
    images = np.float32(batch[0])
    seen = Explainer(distinct, run_eagerly=True)(images)
    rows = by_photo(distinct.view("features")(images), 9)["features"]  # (B, K, h, w, D)
    features = keras.Input(rows.shape[2:])
    head = keras.Model(features, distinct.classifier(distinct.pool(features)))
    layer = head.layers[0]
    for k in range(3):
        maps = Gradcam(head)(
            lambda scores: [scores[i, c] for i, c in enumerate(seen.classes)],
            rows[:, k],
            penultimate_layer=layer,
            seek_penultimate_conv_layer=False,
            expand_cam=False,
            normalize_cam=False,
        )
        np.testing.assert_allclose(seen.maps[:, k], 16 * np.asarray(maps), rtol=1e-3, atol=1e-3)


def test_a_maps_mean_is_the_first_order_part_of_the_score(distinct, batch):
    """After an average pooling Grad-CAM's mean is the score less its bias, but for the clipping."""
    features = np.abs(np.random.default_rng(0).normal(size=(9, 4, 4, 16))).astype("float32")
    activation = ClassActivation(distinct, "features", "part_logits")
    maps = activation(features, np.zeros(9, int))
    kernel, _ = distinct.classifier.get_weights()
    evidence = np.maximum(features @ kernel[:, 0], 0)  # (B, h, w)
    np.testing.assert_allclose(maps.mean(axis=(1, 2)), evidence.mean(axis=(1, 2)), rtol=1e-4)


def test_what_is_explained_is_what_the_model_says(distinct, batch):
    seen = Explainer(distinct)(batch[0])
    np.testing.assert_allclose(seen.logits, distinct.predict(batch[0], verbose=0), atol=1e-4)
    np.testing.assert_array_equal(seen.classes, seen.logits.argmax(-1))
    np.testing.assert_allclose(
        seen.logits, np.einsum("nk,nkc->nc", seen.weights, seen.part_logits), atol=1e-4
    )
    expected = probabilities(seen.logits, distinct.calibration.temperature)
    np.testing.assert_allclose(seen.probabilities(), expected)
    np.testing.assert_array_equal(seen.known, seen.scores >= distinct.calibration.known_from)
    assert seen.part_names == ("fixation 1", "fixation 2", "fixation 3")
    names = ("boxes", "found", "views", "refinements", "reads")
    told = distinct.view(*names)(np.float32(batch[0]))
    np.testing.assert_allclose(seen.objects, from_edge_to_edge(told["boxes"], 64), atol=1e-6)
    np.testing.assert_array_equal(seen.refinements, told["refinements"])
    np.testing.assert_array_equal(seen.reads, np.asarray(told["reads"])[:, 0])


def test_of_the_plain_backbone_the_whole_photo_is_read(build, batch):
    seen = Explainer(build(localizer=None))(batch[0])
    assert seen.maps.shape == (9, 1, 8, 8)
    np.testing.assert_array_equal(seen.boxes, [[[0, 0, 1, 1]]] * 9)
    np.testing.assert_array_equal(seen.weights, 1)
    assert seen.objects.shape == (9, 0, 4)


def test_of_the_papers_network_every_step_is_a_part(paper, batch):
    seen = Explainer(paper)(batch[0])
    assert seen.part_names == ("global", "step 1", "step 2")
    told = paper.view("step_weights", "step_logits", "box")(np.float32(batch[0]))
    np.testing.assert_allclose(seen.weights[:, 1:], 0.5 * np.asarray(told["step_weights"]))
    np.testing.assert_allclose(seen.part_logits[:, 1:], told["step_logits"], atol=1e-5)
    np.testing.assert_allclose(seen.boxes[:, 1], from_edge_to_edge(told["box"], 64), atol=1e-6)
    np.testing.assert_allclose(
        seen.logits, np.einsum("nm,nmc->nc", seen.weights, seen.part_logits), atol=1e-4
    )


def test_explanations_join_and_come_apart(distinct, batch):
    seen = Explainer(distinct)(batch[0])
    again = Explanation.concatenate([seen[:4], seen[4:]])
    for name in ("logits", "maps", "boxes", "classes"):
        np.testing.assert_array_equal(getattr(again, name), getattr(seen, name))


def test_grad_cam_plus_plus_and_an_unknown_method(distinct, batch):
    seen = Explainer(distinct, method="gradcam++")(batch[0][:2])
    assert (seen.maps >= 0).all()
    with pytest.raises(ValueError, match=r"`method`.*gradcam.*Received: method='lime'"):
        Explainer(distinct, method="lime")


def test_the_answers_map_thins_evidence_over_larger_boxes(distinct, batch):
    (one,) = [Explainer(distinct)(batch[0])[:1]]
    maps = one.maps_in_image(64)[0]
    area = np.prod(one.boxes[0, :, 2:] - one.boxes[0, :, :2], axis=1)
    expected = np.einsum("m,myx->yx", one.weights[0] / area, maps)
    np.testing.assert_allclose(one.answer_map(64)[0], expected, rtol=1e-4, atol=1e-4)


def test_edges():
    box = from_edge_to_edge(np.array([0.0, 0.0, 1.0, 0.5]), 64)
    np.testing.assert_allclose(box, [0.5 / 64, 0.5 / 64, 63.5 / 64, 0.5])
