"""The classifier's arguments: presets, what they may be, and how bad ones are refused."""

import json

import numpy as np
import pytest

from rra_keras import RRAClassifier
from rra_keras.layers import CenterLocalizer
from rra_keras.models import TwoStreamClassifier

# === Presets ===


def test_paper_preset_has_the_papers_size():
    model = TwoStreamClassifier.from_preset("paper_vgg19", num_classes=200, weights=None)
    assert abs(model.count_params() / 46.13e6 - 1) < 0.002
    outputs = model.view("global_features", "crop", "local_features", "states").output
    assert {name: tensor.shape[1:] for name, tensor in outputs.items()} == {
        "global_features": (14, 14, 512),
        "crop": (224, 224, 3),
        "local_features": (14, 14, 512),
        "states": (10, 512),
    }


def test_overrides_replace_a_presets_arguments():
    model = RRAClassifier.from_preset("edge", 5, weights="random", max_fixations=2, crop_size=160)
    config = model.get_config()
    assert (config["max_fixations"], config["crop_size"]) == (2, 160)
    assert (config["backbone"], config["train_from"]) == ("efficientnet_lite0", "block_11")
    assert model.output.shape == (None, 5)


def test_without_a_localizer_a_preset_sees_224_pixels_unless_told():
    for given, side in (({}, 224), ({"image_size": 96}, 96)):
        model = RRAClassifier.from_preset("edge", 3, weights="random", localizer=None, **given)
        assert model.image_size == side


def test_another_backbone_is_trained_whole_unless_told():
    model = RRAClassifier.from_preset(
        "edge", 3, weights="random", backbone="mobilenet", image_size=64, crop_size=32
    )
    assert model.get_config()["train_from"] is None
    assert model.attention.glance_size == 64  # the preset's 128 are more than there is


@pytest.mark.parametrize(
    ("localizer", "views", "span"), [("box", 192, 12), (CenterLocalizer(), 256, None)]
)
def test_views_are_smaller_than_a_large_glance_where_the_localizer_learns(localizer, views, span):
    model = RRAClassifier(
        "efficientnet_lite0",
        3,
        image_size=256,
        glance_size=256,
        localizer=localizer,
        max_fixations=1,
        train_from="block_11",
        weights="random",
    )
    assert (model.attention.glance_size, model.attention.view_size) == (256, views)
    assert getattr(model.attention.localizer, "span", None) == span


def test_a_preset_of_another_class_is_refused():
    with pytest.raises(ValueError, match=r"`preset`.*RRAClassifier.*TwoStreamClassifier"):
        RRAClassifier.from_preset("paper_vgg19", 3)


# === Errors ===


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("num_classes", {"num_classes": 1}),
        ("crop_size", {"crop_size": 0}),
        ("glance_size", {"glance_size": 65}),
        ("crop_size", {"crop_size": 65}),
        ("crop_size", {"crop_size": (32,)}),
        ("crop_size", {"crop_size": 32.0}),
        ("image_size", {"image_size": 64.0}),
        ("image_size", {"backbone": "mobilenet", "image_size": 31, "crop_size": 16}),
        ("weights", {"backbone": "efficientnet_lite0", "train_from": "block_11"}),
        ("max_refinements", {"max_refinements": -1}),
        ("max_fixations", {"max_fixations": 0}),
        ("max_fixations", {"max_fixations": 2, "localizer": CenterLocalizer()}),
        ("localizer", {"localizer": "oracle"}),
        ("localizer", {"localizer": 3}),
        ("preprocess", {"preprocess": abs}),
        ("method", {"crop_method": "nearest"}),
        ("train_from", {"train_from": "block_9"}),
        ("weights", {"weights": "imagenet"}),
        ("backbone", {"backbone": "resnet_fifty"}),
    ],
)
def test_errors_name_the_argument(build, name, arguments):
    with pytest.raises(ValueError, match=rf"^Invalid value for (argument )?`{name}`.*Received: "):
        build(**arguments)


@pytest.mark.parametrize("arguments", [{"max_fixation": 2}, {"view_size": 96}])
def test_a_misspelt_argument_is_refused_with_the_nearest(arguments):
    (name,) = arguments
    nearest = {"max_fixation": "max_fixations", "view_size": "image_size"}[name]
    with pytest.raises(ValueError, match=rf"`{name}`.*`{nearest}`.*Received: {name}="):
        RRAClassifier.from_preset("edge", num_classes=3, **arguments)


def test_what_comes_after_the_classes_has_to_be_named(backbone):
    with pytest.raises(TypeError, match="positional"):
        RRAClassifier(backbone, 3, 1)


def test_numpy_integers_are_sizes(build):
    model = build(crop_size=(np.int64(16), np.int32(32)), image_size=np.int64(64))
    assert model.crop_size == (16, 32)
    assert json.dumps(model.get_config()["image_size"]) == "64"


def test_layers_are_attributes(trained):
    for name in ("encoder", "pool", "classifier", "calibration", "zoom_crop", "fixation_attention"):
        assert getattr(trained, name) is trained.get_layer(name)
    assert trained.attention is trained.get_layer("recursive_attention")
    assert trained.encoders == (trained.encoder,)


def test_unknown_preset_is_refused():
    with pytest.raises(ValueError, match=r"`preset`.*'edge'.*Received: preset='cloud'"):
        RRAClassifier.from_preset("cloud", num_classes=3)


@pytest.mark.parametrize("names", [("heatmap",), ("boxes", "look_1_crop"), ()])
def test_view_refuses_unknown_names(trained, names):
    with pytest.raises(ValueError, match=r"`names`.*'boxes'.*Received: "):
        trained.view(*names)
