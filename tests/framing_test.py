"""The localizer that learns the object's frame: in the model, from photos, through a run."""

import csv
import json

import keras
import numpy as np
import pytest
from conftest import tensorflow_only

from rra_keras.layers import BoxJitter
from rra_keras.layers.box_localizer import QUARTER
from rra_keras.layers.boxes import box_in_box
from rra_keras.layers.evidence import disagreement_map
from rra_keras.layers.peaks import peak_boxes
from rra_keras.models import framing
from rra_keras.models.framing import refinements_for

FRAMING = {"localizer": "box", "train_from": "block_1", "glance_size": 32}


@pytest.fixture(scope="module")
def spots():
    """Twelve photos of noise with a large bright square, `(12, 64, 64, 3)`, and its boxes."""
    rng = np.random.default_rng(0)
    photos = rng.integers(0, 80, (12, 64, 64, 3), "uint8")
    corners = rng.integers(4, 28, (12, 2))
    for photo, (y, x) in zip(photos, corners, strict=True):
        photo[y : y + 28, x : x + 28] = 255
    return photos, np.concatenate([corners, corners + 28], axis=1) / 64


def always_finds(localizer, side):
    """Let a localizer answer with a square of this side in the middle of whatever it sees."""
    localizer.vote.kernel.assign(0 * localizer.vote.kernel)
    half = QUARTER + np.log(side / (2 - side))  # of a side, from the middle
    localizer.vote.bias.assign([0.0, half, half, half, half])


def know(localizer):
    """Give a localizer weights of its own, as if it had learned."""
    rng = np.random.default_rng(0)
    for variable in localizer.variables:
        variable.assign(rng.normal(0, 0.1, variable.shape))


def test_before_it_learns_it_looks_at_half_of_the_middle_and_a_margin(build, batch):
    seen = (
        build(**FRAMING, refinements=0).view("object_boxes", "boxes").predict(batch[0], verbose=0)
    )
    np.testing.assert_allclose(seen["object_boxes"], [[[0.25, 0.25, 0.75, 0.75]]] * 9, atol=1e-6)
    np.testing.assert_allclose(seen["boxes"], [[[0.225, 0.225, 0.775, 0.775]]] * 9, atol=1e-6)


def test_each_refinement_is_a_look_inside_the_box_grown_by_a_share_of_the_view_before(build, batch):
    model = build(**FRAMING, refinements=2)
    always_finds(model.localizer, 0.5)
    seen = model.view("object_boxes", "refined").predict(batch[0], verbose=0)
    first, second, third = seen["object_boxes"][0]
    np.testing.assert_array_equal(seen["refined"], [2] * 9)
    np.testing.assert_allclose(first[2:] - first[:2], 0.5, atol=1e-6)
    np.testing.assert_allclose(second[2:] - second[:2], 0.8 * 0.5, atol=1e-6)
    np.testing.assert_allclose(third[2:] - third[:2], (0.4 + 0.3 * 0.8) * 0.5, atol=1e-6)


@pytest.mark.parametrize(("side", "refined"), [(0.3, 3), (0.59, 3), (0.61, 0), (0.9, 0)])
def test_it_closes_in_until_the_object_takes_most_of_the_view(build, batch, side, refined):
    model = build(**FRAMING, refinements=3)
    always_finds(model.localizer, side)
    seen = model.view("object_boxes", "refined").predict(batch[0], verbose=0)
    np.testing.assert_array_equal(seen["refined"], [refined] * 9)
    sides = seen["object_boxes"][0, :, 2] - seen["object_boxes"][0, :, 0]
    shrinks = np.minimum(np.arange(4), refined)
    np.testing.assert_allclose(sides, side * (side + 0.3) ** shrinks, atol=1e-5)


def test_each_photo_ends_by_itself(build, batch, monkeypatch):
    model = build(**FRAMING, refinements=3)
    know(model.localizer)
    boxes = model.view("object_boxes").predict(batch[0], verbose=0)["object_boxes"][:, 0]
    longer = (boxes[:, 2:] - boxes[:, :2]).max(axis=1)
    monkeypatch.setattr(framing, "FRAMED", np.median(longer) + 1e-4)  # about half end at once
    again = type(model).from_config(model.get_config())
    again.set_weights(model.get_weights())
    seen = again.view("object_boxes", "refined")
    both = seen.predict(batch[0], verbose=0)
    assert 0 < np.count_nonzero(both["refined"]) < 9
    alone = [seen.predict(batch[0][i : i + 1], verbose=0) for i in range(9)]
    for name in ("object_boxes", "refined"):
        np.testing.assert_allclose(both[name], [one[name][0] for one in alone], atol=1e-5)


def test_further_looks_are_at_parts_of_the_object_where_likely_classes_differ(build, batch):
    model = build(**FRAMING, looks=3)
    know(model.localizer)
    names = ("boxes", "look_1_features")
    seen = model.view(*names).predict(batch[0], verbose=0)
    evidence = disagreement_map(model.vote_classifier(seen["look_1_features"]))
    inside = peak_boxes(evidence, 2, 1 / 3)
    for look in (1, 2):
        expected = box_in_box(seen["boxes"][:, 0], inside[:, look - 1])
        np.testing.assert_allclose(seen["boxes"][:, look], expected, atol=1e-4)


@pytest.mark.parametrize(
    ("size", "refinements"), [(64, 1), (448, 1), (449, 2), (896, 2), (1344, 3), (2048, 4)]
)
def test_large_photos_may_need_more_refinements(size, refinements):
    assert refinements_for(size) == refinements


def test_the_trunk_is_what_training_leaves_as_it_is(build, batch):
    model = build(**FRAMING)
    trunk = {variable.path for variable in model.framing.trunk.variables}
    localizer = {variable.path for variable in model.localizer.variables}
    know(model.localizer)
    assert {path for path in trunk if "block_0_conv" in path}
    assert not (trunk | localizer) & {variable.path for variable in model.trainable_variables}
    before = model.view("object_boxes").predict(batch[0], verbose=0)["object_boxes"]
    model.compile(keras.optimizers.SGD(0.1))
    model.fit(*batch, batch_size=9, epochs=2, verbose=0)
    after = model.view("object_boxes").predict(batch[0], verbose=0)["object_boxes"]
    np.testing.assert_array_equal(after, before)


@pytest.mark.parametrize("options", [{"looks": 2}, {"train_from": None}])
def test_a_learned_frame_is_saved_with_the_model(build, batch, tmp_path, options):
    model = build(**FRAMING | options)
    know(model.localizer)
    for variable in model.encoder.trainable_variables:  # of another mind than the trunk
        variable.assign(1.5 * variable)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    names = ("object_boxes", "boxes", "logits")
    ours, theirs = (m.view(*names).predict(batch[0], verbose=0) for m in (model, loaded))
    for name in names:
        np.testing.assert_array_equal(ours[name], theirs[name])
    assert np.ptp(ours["object_boxes"][:, 0], axis=0).max() > 1e-4  # boxes of their own


@tensorflow_only("Grad-CAM by tf-keras-vis")
def test_it_can_be_explained(build, batch):
    from rra_keras.explain import Explainer
    from rra_keras.explain.activation import activations

    model = build(**FRAMING)
    seen = Explainer(model)(batch[0][:2])
    assert seen.maps_in_image(32).shape == (2, 3, 32, 32)
    boxes = model.view("object_boxes").predict(batch[0][:2], verbose=0)["object_boxes"]
    np.testing.assert_allclose(seen.object_boxes, boxes, atol=1e-6)
    assert activations(model, batch[0][:2], seen.boxes).shape == (2, 2, 8, 8)  # of the finer map


@tensorflow_only("TFLite")
def test_it_can_be_exported(build, batch, tmp_path):
    from export import inference, tflite
    from export.classify import Classifier

    model = build(**FRAMING)
    signatures = inference.Signatures(inference.rebuild(model, "gather"))
    path = tmp_path / "model.tflite"
    metadata = {"image_size": 64, "confidence": None}
    content = tflite.convert(signatures, ["fp32"])["fp32"]
    path.write_bytes(tflite.attach(content, ["a", "b", "c"], metadata))
    photo = batch[0][:1].astype("float32")
    said = Classifier(path).run("full", images=photo)
    expected = model.view("boxes", "logits").predict(photo, verbose=0)
    np.testing.assert_allclose(said["boxes"], expected["boxes"], atol=1e-4)
    np.testing.assert_allclose(said["logits"], expected["logits"], atol=1e-4)


def test_where_the_whole_backbone_trains_the_trunk_is_a_copy_that_stays(build, batch):
    model = build(localizer="box", glance_size=32)
    copied = {id(variable) for variable in model.framing.trunk.variables}
    assert not copied & {id(variable) for variable in model.trainable_variables}
    assert len(model.encoder.trainable_variables) == 4
    know(model.localizer)
    before = model.view("object_boxes").predict(batch[0], verbose=0)["object_boxes"]
    model.compile(keras.optimizers.SGD(0.1))
    model.fit(*batch, batch_size=9, verbose=0)
    after = model.view("object_boxes").predict(batch[0], verbose=0)["object_boxes"]
    np.testing.assert_array_equal(after, before)


def test_fit_warns_where_nothing_was_learned_of_objects(build, batch, monkeypatch):
    monkeypatch.setattr(keras.Model, "fit", lambda *arguments, **options: None)
    model = build(**FRAMING)
    with pytest.warns(UserWarning, match=r"each look is at the middle.*model.adapt"):
        model.fit(*batch, verbose=0)
    know(model.localizer)
    model.fit(*batch, verbose=0)


def test_a_model_that_does_not_learn_where_says_so(build, batch):
    with pytest.raises(ValueError, match=r"localizer=\"box\".*Received: localizer='cam'"):
        build().adapt(batch[0])


def test_adapt_finds_the_squares_and_learns_to(build, spots):
    photos, boxes = spots
    keras.utils.set_random_seed(1)
    model = build(**FRAMING)
    encoder = model.encoder.get_layer("tiny")
    for name in ("block_0_conv", "block_1_conv"):  # brightness excites it, as in a trained one
        layer = encoder.get_layer(name)
        layer.set_weights([np.full(w.shape, 0.01) for w in layer.get_weights()])
    objects = model.adapt(photos)
    assert (objects.name, objects.choice) == ("set", None)
    assert objects.boxes.shape == (12, 4)
    found = model.view("object_boxes").predict(photos, verbose=0)["object_boxes"][:, -1]
    centers = (found[:, :2] + found[:, 2:]) / 2
    true = (boxes[:, :2] + boxes[:, 2:]) / 2
    assert np.abs(centers - true).mean() < np.abs(0.5 - true).mean()  # nearer than the middle
    assert not model.localizer.trainable


def test_adapt_gives_the_same_twice(build, spots):
    learned = []
    for _ in range(2):
        keras.utils.set_random_seed(0)
        model = build(**FRAMING)
        model.adapt(spots[0], np.arange(12) % 3, seed=3)
        learned.append(model.localizer.get_weights())
    for a, b in zip(*learned, strict=True):
        np.testing.assert_array_equal(a, b)


def test_jitter_moves_boxes_in_training_alone():
    boxes = np.tile([[0.2, 0.4, 0.6, 0.6]], (500, 1)).astype("float32")
    jitter = BoxJitter(shift=0.1, scale=0.2, seed=0)
    np.testing.assert_array_equal(jitter(boxes), boxes)
    y0, x0, y1, x1 = np.asarray(jitter(boxes, training=True)).T
    np.testing.assert_allclose(np.ptp((y0 + y1) / 2), 0.08, atol=4e-3)  # ± a tenth of 0.4
    np.testing.assert_allclose(np.ptp((x0 + x1) / 2), 0.04, atol=2e-3)
    ends = [(y1 - y0).min(), (y1 - y0).max()]
    np.testing.assert_allclose(ends, 0.4 * np.exp([-0.2, 0.2]), rtol=0.02)
    with pytest.raises(ValueError, match=r"`shift` or `scale`.*Received: shift=-1"):
        BoxJitter(shift=-1)


@tensorflow_only("a run reads its photos by tf.data; discovery itself is tested under both")
def test_that_there_is_one_object_can_be_known_beforehand(photos, tmp_path, monkeypatch):
    from rra_keras import discovery, training
    from rra_keras.training.config import configure

    def discover(encoder, trunk, photos, labels, **options):
        boxes = np.tile(np.float32([0.2, 0.2, 0.8, 0.8]), (len(photos), 1))
        frame = np.tile(np.float32([0, 0, 1, 1]), (len(photos), 1))
        known = labels is None  # there is nothing to find out
        boxes, name = (boxes, "set") if known else (frame, "frame")
        return discovery.Objects(boxes, np.ones(len(photos)), name)

    monkeypatch.setattr("rra_keras.discovery.discover_objects", discover)
    arguments = {"image_size": 64, "glance_size": 32, "patch_size": 32, "steps": 1, "units": 4}
    for one_object, looks in ((True, 1), (False, 0)):
        options = {"dataset": f"folder:{photos}", "one_object": one_object}
        config = configure("edge", arguments, **options)
        prepared = training.prepare(config, tmp_path / str(one_object))
        assert training.adapt(config, prepared).model.looks == looks


@tensorflow_only("a run reads its photos by tf.data; discovery itself is tested under both")
@pytest.mark.parametrize("hypothesis", ["set", "frame"])
def test_a_run_learns_where_once_and_goes_on_from_it(hypothesis, photos, tmp_path, monkeypatch):
    from rra_keras import discovery, training
    from rra_keras.training.config import configure

    model = {"image_size": 64, "glance_size": 32, "patch_size": 32, "steps": 1, "units": 4}
    config = configure("edge", {"localizer": "box", **model}, dataset=f"folder:{photos}")
    calls = []

    def discover(encoder, trunk, photos, labels, **options):
        calls.append(len(photos))
        boxes = np.tile(np.float32([0.2, 0.2, 0.8, 0.8]), (len(photos), 1))
        choice = discovery.probe.Choice(hypothesis, {"frame": 0.5, "set": 0.6}, {"set": 0.36})
        return discovery.Objects(boxes, np.ones(len(photos)), hypothesis, choice)

    monkeypatch.setattr("rra_keras.discovery.discover_objects", discover)
    weights = []
    for _ in range(2 if hypothesis == "set" else 1):
        prepared = training.prepare(config, tmp_path / "run", resume=True)
        prepared = training.adapt(config, prepared)
        weights.append(prepared.model.get_weights())
    assert calls == [len(prepared.source.splits["train"].labels)]
    if hypothesis == "frame":
        assert prepared.model.looks == 0
        assert prepared.model.image_size % 32 == 0
        return
    for a, b in zip(*weights, strict=True):
        np.testing.assert_array_equal(a, b)
    found = json.loads((tmp_path / "run" / "objects.json").read_text())
    assert found["hypothesis"] == "set"
    rows = list(csv.DictReader((tmp_path / "run" / "objects.csv").read_text().splitlines()))
    assert set(rows[0]) == {"file", "y0", "x0", "y1", "x1", "confidence"}
    assert rows[0]["y1"] == "0.8000"
