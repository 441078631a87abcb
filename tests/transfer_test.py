"""Going on from another run."""

import re

import numpy as np
import pytest
from conftest import tensorflow_only

from rra_keras import training
from rra_keras.layers import BoxLocalizer
from rra_keras.training import transfer
from rra_keras.training.config import configure


@pytest.fixture(scope="module")
def finished(trained, tmp_path_factory):
    """The directory of a finished run of the classes `red`, `green` and `blue`."""
    directory = tmp_path_factory.mktemp("finished")
    trained.save(directory / "model.keras")
    (directory / "labels.txt").write_text("red\ngreen\nblue\n")
    (directory / "config.json").write_text("{}")
    return directory


def test_the_same_classes_give_the_same_answers(build, trained, batch):
    model = build(train_from="block_1")
    transfer.take_over(model, ["a", "b", "c"], trained, ["a", "b", "c"])
    expected = trained.predict(batch[0], verbose=0)
    np.testing.assert_array_equal(model.predict(batch[0], verbose=0), expected)


def test_classes_that_stay_are_known_by_name_and_others_as_they_start(build, trained, batch):
    model = build(train_from="block_1", num_classes=4)
    before = [head.get_weights() for head in model.classifiers]
    transfer.take_over(model, ["new", "c", "a", "newer"], trained, ["a", "b", "c"])
    ours, theirs = (
        m.view("fixation_logits").predict(batch[0], verbose=0)["fixation_logits"]
        for m in (model, trained)
    )
    np.testing.assert_allclose(ours[..., [2, 1]], theirs[..., [0, 2]], atol=1e-5)
    for head, other, start in zip(model.classifiers, trained.classifiers, before, strict=True):
        for now, given, then in zip(head.get_weights(), other.get_weights(), start, strict=True):
            np.testing.assert_array_equal(now[..., [2, 1]], given[..., [0, 2]])
            np.testing.assert_array_equal(now[..., [0, 3]], then[..., [0, 3]])


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"localizer": BoxLocalizer((4,), name="localizer")}, "localizer/conv_0/kernel"),
        ({"localizer": None}, "localizer/conv_0/kernel"),
    ],
)
def test_another_network_is_refused_by_the_first_weight_that_differs(
    build, trained, options, named
):
    model = build(**{"train_from": "block_1"} | options)
    before = model.get_weights()
    with pytest.raises(ValueError, match="init_from.*same layers.*" + re.escape(named)):
        transfer.take_over(model, ["a", "b", "c"], trained, ["a", "b", "c"])
    for now, then in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(now, then)


def test_another_glance_than_the_localizer_learned_by_is_refused(build, trained):
    model = build(train_from="block_1", glance_size=48)
    with pytest.raises(ValueError, match=r"`--glance_size`\. Expected 32.*Received: 48"):
        transfer.take_over(model, ["a", "b", "c"], trained, ["a", "b", "c"])


def test_a_run_is_opened_with_its_classes(finished, trained, batch):
    model, names = transfer.open_source(finished)
    assert names == ["red", "green", "blue"]
    expected = trained.predict(batch[0], verbose=0)
    np.testing.assert_array_equal(model.predict(batch[0], verbose=0), expected)


def test_what_is_no_run_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"`--init_from`. Expected the directory of a finished"):
        transfer.open_source(tmp_path)


@tensorflow_only("the same by JAX, which takes long to compile it")
def test_a_training_starts_from_the_run_it_is_given(
    finished, trained, photos, tmp_path, monkeypatch
):
    config = configure("edge", {}, dataset=f"folder:{photos}", init_from=str(finished))
    built = {}

    def build(num_classes, crop_size, **_):
        built["crop_size"] = crop_size
        return type(trained).from_config(trained.get_config() | {"num_classes": num_classes})

    monkeypatch.setitem(training.build.__globals__, "model_class", lambda _: build)
    prepared = training.prepare(config, tmp_path / "run")
    assert training.objects_of(config, prepared) is None  # it knows where to look
    model = training.build(config, prepared)
    assert built["crop_size"] == trained.crop_size
    names = prepared.source.class_names  # blue, green, red
    theirs, ours = (m.classifier.get_weights()[0] for m in (trained, model))
    order = [["red", "green", "blue"].index(name) for name in names]
    np.testing.assert_array_equal(ours, theirs[:, order])
