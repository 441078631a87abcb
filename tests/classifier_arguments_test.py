"""The classifier's arguments: presets, what they may be, and how bad ones are refused."""

import json

import numpy as np
import pytest

from rra_keras import CamLocalizer, RRAClassifier

# === Presets ===


def test_paper_preset_has_the_papers_size():
    model = RRAClassifier.from_preset("paper_vgg19", num_classes=200, weights=None)
    assert abs(model.count_params() / 46.13e6 - 1) < 0.002
    outputs = model.view("glance_features", "look_1_crop", "look_1_features", "states").output
    assert {name: tensor.shape[1:] for name, tensor in outputs.items()} == {
        "glance_features": (14, 14, 512),
        "look_1_crop": (224, 224, 3),
        "look_1_features": (14, 14, 512),
        "states": (10, 512),
    }


def test_overrides_replace_a_presets_arguments():
    model = RRAClassifier.from_preset("edge", 5, weights="random", steps=2, units=16)
    config = model.get_config()
    assert (config["steps"], config["units"], config["backbone"]) == (2, 16, "efficientnet_lite0")
    assert model.output["logits"].shape == (None, 5)


# === Errors ===


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("num_classes", {"num_classes": 1}),
        ("looks", {"looks": -1}),
        ("patch_size", {"patch_size": 0}),
        ("glance_size", {"glance_size": 65}),
        ("patch_size", {"patch_size": 65}),
        ("patch_size", {"patch_size": (32,)}),
        ("patch_size", {"patch_size": 32.0}),
        ("image_size", {"image_size": 64.0}),
        ("image_size", {"backbone": "mobilenet", "image_size": 31, "patch_size": 16}),
        ("look_weight", {"look_weight": -1.0}),
        ("look_loss_weight", {"look_loss_weight": float("nan")}),
        ("glance_loss_weight", {"glance_loss_weight": -0.5}),
        ("box_gradient", {"box_gradient": 1.5}),
        ("temperature", {"temperature": 0}),
        ("temperature", {"temperature": float("inf")}),
        ("temperature", {"temperature": "warm"}),
        ("known_from", {"known_from": float("nan")}),
        ("known_from", {"known_from": "5"}),
        ("weights", {"backbone": "efficientnet_lite0", "train_from": "block_11"}),
        ("localizer", {"localizer": {"name": "cam", "spraed": 2.0}}),
        ("localizer", {"localizer": {"name": "cam", "spread": -2.0}}),
        ("steps", {"steps": 0}),
        ("units", {"units": 0}),
        ("refinements", {"refinements": -1}),
        ("patch_size", {"patch_size": "auto"}),
        ("localizer", {"localizer": "oracle"}),
        ("method", {"crop_method": "nearest"}),
        ("linear_vote", {"looks": 2, "linear_vote": False}),
        ("crop_backbone", {"crop_backbone": "vgg19"}),
        ("train_from", {"train_from": "block_9"}),
        ("weights", {"weights": "imagenet"}),
        ("backbone", {"backbone": "resnet_fifty"}),
    ],
)
def test_errors_name_the_argument(build, name, arguments):
    with pytest.raises(ValueError, match=rf"^Invalid value for (argument )?`{name}`.*Received: "):
        build(**arguments)


@pytest.mark.parametrize("arguments", [{"lokks": 2}, {"view_size": 96}])
def test_a_misspelt_argument_is_refused_with_the_nearest(arguments):
    (name,) = arguments
    nearest = {"lokks": "looks", "view_size": "image_size"}[name]
    with pytest.raises(ValueError, match=rf"`{name}`.*`{nearest}`.*Received: {name}="):
        RRAClassifier.from_preset("edge", num_classes=3, **arguments)


def test_what_comes_after_the_classes_has_to_be_named(backbone):
    with pytest.raises(TypeError, match="positional"):
        RRAClassifier(backbone, 3, 1)


def test_numpy_integers_are_sizes(build):
    model = build(patch_size=(np.int64(16), np.int32(32)), image_size=np.int64(64))
    assert model.patch_size == (16, 32)
    assert json.dumps(model.get_config()["image_size"]) == "64"


def test_a_preset_may_set_a_localizer_s_numbers(build):
    model = build(looks=2, localizer={"name": "cam", "spread": 1.2, "max_size": 0.5})
    for layer in (model.localizer, model.inner_localizer):
        assert (layer.spread, layer.min_size, layer.max_size) == (1.2, 0.3, 0.5)
    again = RRAClassifier.from_config(model.get_config())
    assert again.localizer.spread == 1.2


def test_a_configured_localizer_frames_the_first_look_in_its_aspect(build):
    model = build(looks=2, localizer=CamLocalizer(spread=1.2, aspect=2.0))
    assert (model.localizer.aspect, model.inner_localizer.aspect) == (2.0, 1.0)
    assert model.inner_localizer.spread == 1.2


def test_layers_are_attributes(trained):
    for name in ("encoder", "pool", "glance_classifier", "step_classifier", "vote_classifier"):
        assert getattr(trained, name) is trained.get_layer(name)
    assert trained.encoders == (trained.encoder,)
    assert trained.localizer is trained.get_layer("localizer")


def test_unknown_preset_is_refused():
    with pytest.raises(ValueError, match=r"`preset`.*'edge'.*Received: preset='cloud'"):
        RRAClassifier.from_preset("cloud", num_classes=3)


@pytest.mark.parametrize("names", [("heatmap",), ("boxes", "look_3_crop"), ()])
def test_view_refuses_unknown_names(trained, names):
    with pytest.raises(ValueError, match=r"`names`.*'boxes'.*Received: "):
        trained.view(*names)
