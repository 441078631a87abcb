"""Configuration, schedule, resuming, measures."""

import json

import keras
import numpy as np
import pytest

from rra_keras import metrics, training
from rra_keras.config import configure
from rra_keras.run import Run


class _PowerCutError(Exception):
    pass


def test_the_plain_backbone_sees_the_patch_size():
    config = configure("edge", {"looks": 0})
    assert config.model["image_size"] == 224
    assert "view_size" not in config.model
    assert configure("edge", {"looks": 0, "image_size": 448}).model["image_size"] == 448


def test_the_plain_backbone_beside_a_wide_crop_sees_as_many_pixels_in_a_square():
    assert configure("edge_wide").model["patch_size"] == (160, 320)
    assert configure("edge_wide", {"looks": 0}).model["image_size"] == 224  # √(160 · 320) = 226


def test_the_preset_s_view_fits_a_smaller_image_but_a_given_one_stays():
    assert configure("edge", {"image_size": 128}).model["view_size"] == 128
    assert configure("edge", {"image_size": 128, "view_size": 200}).model["view_size"] == 200


def test_another_backbone_is_trained_whole():
    assert configure("edge").model["train_from"] == "block_11"
    changed = configure("edge", {"backbone": "mobilenet_v2"})
    assert changed.model["train_from"] is None
    changed = configure("paper_vgg19", {"backbone": "mobilenet_v2"})
    assert "crop_backbone" not in changed.model


def test_the_paper_s_schedule():
    config = configure("paper_vgg19")
    rate = training._schedule(config, steps_per_epoch=10)
    epochs = {0: 1e-3, 29: 1e-3, 31: 1e-4, 59: 1e-4, 61: 1e-5, 89: 1e-5}
    for epoch, expected in epochs.items():
        assert float(rate(epoch * 10 + 5)) == pytest.approx(expected)


def test_the_cosine_schedule_warms_up_and_ends_at_zero():
    config = configure("edge", epochs=10, learning_rate=0.5)
    rate = training._schedule(config, steps_per_epoch=10)
    assert float(rate(0)) == 0
    assert float(rate(5)) == pytest.approx(0.5)
    assert float(rate(100)) == pytest.approx(0, abs=1e-6)


def test_accuracies_by_hand():
    logits = np.zeros((4, 6), "float32")
    logits[0, 0] = logits[1, 1] = logits[2, 5] = logits[3, 3] = 1
    logits[3, 2] = -1  # the only class outside the top five
    measured = metrics.accuracies({"logits": logits}, np.array([0, 1, 2, 2]))
    assert measured["accuracy"] == 0.5
    assert measured["top5_accuracy"] == 0.75
    assert measured["global_accuracy"] is None


def test_predictions_as_a_table():
    streams = {
        "logits": np.array([[0.0, 1.0], [2.0, 1.0]]),
        "global_logits": np.array([[3.0, 1.0], [2.0, 1.0]]),
    }
    table = metrics.predictions_csv(
        streams, np.array([1, 1]), ["ant, red", "bee"], ["a.jpg", "b.jpg"]
    )
    assert table == (
        'image,label,logits,global_logits\na.jpg,bee,bee,"ant, red"\n'
        'b.jpg,bee,"ant, red","ant, red"\n'
    )


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    run = Run.create(tmp_path / "run", {})
    run.write_text("note.txt", "first")

    def write_half():
        with run.replacing("note.txt") as path:
            path.write_text("half")
            raise _PowerCutError

    with pytest.raises(_PowerCutError):
        write_half()
    assert run.path("note.txt").read_text() == "first"
    assert {path.name for path in run.directory.iterdir()} == {"config.json", "note.txt"}


def test_a_folder_that_is_no_run_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ValueError, match="holds other files"):
        Run.create(tmp_path, {}, overwrite=True)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


class _CutAt(keras.callbacks.Callback):
    """Stops a training at the start of an epoch, its files closed."""

    def __init__(self, epoch, callbacks):
        super().__init__()
        self.epoch = epoch
        self.callbacks = callbacks

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self.epoch:
            for callback in self.callbacks:
                callback.on_train_end()
            raise _PowerCutError


def tiny_config(photos, **overrides):
    model = {
        **{"image_size": 64, "view_size": 32, "patch_size": 32, "steps": 1, "units": 4},
        **{"backbone": "mobilenet", "train_from": "conv_pw_13"},
    }
    data = {"dataset": f"folder:{photos}", "group_regex": r"(g\d+)_"}
    options = {"weights": "none", "epochs": 2, "batch_size": 4}
    return configure("edge", model, **data | options | overrides)


def test_a_loss_that_is_not_finite_ends_the_run(photos, tmp_path):
    config = tiny_config(photos, learning_rate=1e30)
    with pytest.raises(FloatingPointError, match="lower `learning_rate` than 1e\\+30"):
        training.train(config, *training.prepare(config, tmp_path / "run"))
    assert not (tmp_path / "run" / "metrics.json").exists()


def test_a_resumed_run_ends_like_an_uninterrupted_one(photos, tmp_path, monkeypatch):
    config = tiny_config(photos)
    training.train(config, *training.prepare(config, tmp_path / "whole"))

    prepared = training.prepare(config, tmp_path / "cut")
    fit = prepared[2].fit

    def fit_until_cut(*args, callbacks, **kwargs):
        return fit(*args, callbacks=[*callbacks, _CutAt(1, callbacks)], **kwargs)

    monkeypatch.setattr(prepared[2], "fit", fit_until_cut)
    with pytest.raises(_PowerCutError):
        training.train(config, *prepared)
    with pytest.raises(ValueError, match="--resume"):
        training.prepare(config, tmp_path / "cut")

    def power_cut(*_):
        raise _PowerCutError

    with monkeypatch.context() as patch:  # again, after the last epoch
        patch.setattr(training, "collect", power_cut)
        with pytest.raises(_PowerCutError):
            training.train(config, *training.prepare(config, tmp_path / "cut", resume=True))
    training.train(config, *training.prepare(config, tmp_path / "cut", resume=True))

    whole, cut = (Run(tmp_path / name) for name in ("whole", "cut"))
    assert whole.path("history.csv").read_text() == cut.path("history.csv").read_text()
    figures = [json.loads(run.path("metrics.json").read_text()) for run in (whole, cut)]
    assert figures[0]["test_accuracy"] == figures[1]["test_accuracy"]
    for a, b in zip(whole.load_model().weights, cut.load_model().weights, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
