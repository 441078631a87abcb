"""Configuration, run directory, measures."""

import dataclasses
import json

import numpy as np
import pytest

from rra_keras import RRAClassifier, training
from rra_keras.measures import predictions
from rra_keras.training.config import configure
from rra_keras.runs import Run


def test_the_plain_backbone_sees_the_patch_size():
    config = configure("edge", {"looks": 0})
    assert config.model["image_size"] == 224
    assert "glance_size" not in config.model
    assert configure("edge", {"looks": 0, "image_size": 448}).model["image_size"] == 448


def test_the_plain_backbone_beside_a_wide_crop_sees_as_many_pixels_in_a_square():
    plain = {"looks": 0, "patch_size": (160, 320)}
    assert configure("edge", plain).model["image_size"] == 224  # √(160 · 320) = 226


def test_the_preset_s_glance_fits_a_smaller_image_but_a_given_one_is_refused():
    assert configure("edge", {"image_size": 128}).model["glance_size"] == 128
    with pytest.raises(ValueError, match=r"`glance_size`.*image_size=128.*Received: .*=200"):
        configure("edge", {"image_size": 128, "glance_size": 200})


def test_a_localizer_that_reads_classes_sees_a_larger_glance():
    model = configure("edge").model
    assert (model["localizer"], model["glance_size"], model["patch_size"]) == ("box", 128, "auto")
    model = configure("edge", {"localizer": {"name": "cam", "spread": 2.0}}).model
    assert (model["glance_size"], model["patch_size"]) == (160, 224)
    given = {"localizer": "cam", "glance_size": 128, "patch_size": 192}
    assert given.items() <= configure("edge", given).model.items()


@pytest.mark.parametrize(
    "arguments",
    [
        {"looks": 0},
        {"looks": 0, "image_size": 128},
        {"image_size": 128},
        {"backbone": "mobilenet"},
        {"patch_size": (64, 96), "looks": 2},
        {"localizer": "cam"},
    ],
)
def test_python_and_commands_mean_the_same_model(arguments):
    config = configure("edge", arguments, weights="random")
    by_command = RRAClassifier(num_classes=3, weights="random", **config.model)
    in_python = RRAClassifier.from_preset("edge", 3, weights="random", **arguments)
    assert in_python.get_config() == by_command.get_config()
    assert len(in_python.trainable_variables) == len(by_command.trainable_variables)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("preset", {"preset": "cloud"}),
        ("lokks", {"model": {"lokks": 2}}),
        ("weights", {"weights": None}),
        ("epochs", {"epochs": 0}),
        ("learning_rate", {"learning_rate": float("nan")}),
        ("augment", {"augment": "heavy"}),
        ("seed", {"seed": -1}),
    ],
)
def test_what_a_run_cannot_be_is_refused_by_name(name, arguments):
    with pytest.raises(ValueError, match=rf"`{name}`.*Expected.*Received: "):
        configure(**arguments)


def test_another_backbone_is_trained_whole():
    assert configure("edge").model["train_from"] == "block_11"
    changed = configure("edge", {"backbone": "mobilenet_v2"})
    assert changed.model["train_from"] is None
    changed = configure("paper_vgg19", {"backbone": "mobilenet_v2"})
    assert "crop_backbone" not in changed.model


def test_accuracies_by_hand():
    logits = np.zeros((4, 6), "float32")
    logits[0, 0] = logits[1, 1] = logits[2, 5] = logits[3, 3] = 1
    logits[3, 2] = -1  # the only class outside the top five
    measured = predictions.accuracies({"logits": logits}, np.array([0, 1, 2, 2]))
    assert measured["accuracy"] == 0.5
    assert measured["top5_accuracy"] == 0.75
    assert measured["glance_accuracy"] is None


def test_predictions_as_a_table():
    streams = {
        "logits": np.array([[0.0, 1.0], [2.0, 1.0]]),
        "glance_logits": np.array([[3.0, 1.0], [2.0, 1.0]]),
    }
    table = predictions.predictions_csv(
        streams, np.array([1, 1]), ["ant, red", "bee"], ["a.jpg", "b.jpg"]
    )
    assert table == (
        'image,label,logits,glance_logits\na.jpg,bee,bee,"ant, red"\n'
        'b.jpg,bee,"ant, red","ant, red"\n'
    )


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    run = Run.create(tmp_path / "run", {})
    run.write_text("note.txt", "first")

    def write_half():
        with run.replacing("note.txt") as path:
            path.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_half()
    assert run.path("note.txt").read_text() == "first"
    assert {path.name for path in run.directory.iterdir()} == {"config.json", "note.txt"}


def test_a_folder_that_is_no_run_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ValueError, match="holds other files"):
        Run.create(tmp_path, {}, overwrite=True)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


@pytest.fixture
def excluding(photos, tmp_path):
    """The configuration of a run that leaves two photos out, and the list that names them."""
    files = tmp_path / "wrong.csv"
    files.write_text("file,label\nred/g0_0.png,blue\nblue/g1_2.png,red\n")
    model = {"looks": 0, "backbone": "mobilenet", "image_size": 32}
    names = {"dataset": f"folder:{photos}", "exclude": str(files)}
    return configure(model=model, weights="random", **names), files


def test_a_model_that_cannot_be_read_is_told_in_a_line(tmp_path):
    (tmp_path / "model.keras").write_text("something\nelse")
    with pytest.raises(ValueError, match=r"by this version. Received: .*model.keras") as caught:
        Run(tmp_path).load_model()
    assert len(str(caught.value).splitlines()) == 1


def test_a_run_from_before_an_option_was_one_goes_on(photos, tmp_path):
    model = {"looks": 0, "image_size": 32}
    config = configure(model=model, weights="random", dataset=f"folder:{photos}")
    run = training.prepare(config, tmp_path / "run").run
    del (stored := run.config)["one_object"]
    run.write_json("config.json", stored)
    resumed = training.prepare(config, tmp_path / "run", resume=True).run
    assert resumed.config == stored | {"one_object": False}
    with pytest.raises(ValueError, match="`seed`"):
        training.prepare(dataclasses.replace(config, seed=1), tmp_path / "run", resume=True)


def test_a_run_keeps_its_own_copy_of_what_it_leaves_out(excluding, tmp_path):
    config, files = excluding
    prepared = training.prepare(config, tmp_path / "run")
    kept = {name: split.names for name, split in prepared.source.splits.items()}
    names = {name for names in kept.values() for name in names}
    assert len(names) == 28
    assert not names & {"red/g0_0.png", "blue/g1_2.png"}
    run = prepared.run
    assert run.path("excluded.csv").read_text() == "file\nred/g0_0.png\nblue/g1_2.png\n"
    run.write_text("labels.txt", "blue\ngreen\nred\n")

    files.write_text("file\ngreen/g0_0.png\n")
    for source in (training.prepare(config, run.directory, resume=True).source, run.load_data()):
        assert {name: split.names for name, split in source.splits.items()} == kept
    files.unlink()
    assert run.load_data().splits["test"].names == kept["test"]
    assert run.path("excluded.csv").read_text() == "file\nred/g0_0.png\nblue/g1_2.png\n"


def test_a_run_without_exclusions_and_one_with_them_are_two(excluding, tmp_path):
    config, _ = excluding
    run = Run.create(
        tmp_path / "run", dataclasses.asdict(dataclasses.replace(config, exclude=None))
    )
    with pytest.raises(ValueError, match=r"`exclude`.*None. Received: .*wrong\.csv"):
        training.prepare(config, run.directory, resume=True)
    # As a run of before there was such a field.
    stored = {name: value for name, value in run.config.items() if name != "exclude"}
    run.path("config.json").write_text(json.dumps(stored))
    run.write_text("labels.txt", "blue\ngreen\nred\n")
    assert sum(split.size for split in run.load_data().splits.values()) == 30
    training.prepare(dataclasses.replace(config, exclude=None), run.directory, resume=True)
    assert not run.path("excluded.csv").exists()
