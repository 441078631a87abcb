"""Configuration, run directory, measures."""

import dataclasses
import json

import numpy as np
import pytest

from rra_keras import RRAClassifier, data, training
from rra_keras.measures import predictions
from rra_keras.runs import Run, files
from rra_keras.training.config import configure


def test_the_plain_backbone_sees_224_pixels_unless_told():
    assert configure("edge", {"localizer": None}).model["image_size"] == 224
    plain = configure("edge", {"localizer": None, "image_size": 448})
    assert plain.model["image_size"] == 448


def test_the_preset_s_glance_fits_a_smaller_image_but_a_given_one_is_refused():
    for side, glance in ((64, 64), (448, 128), (895, 128), (896, 384), (1344, 384)):
        assert configure("edge", {"image_size": side}).model["glance_size"] == glance
    assert configure("edge", {"image_size": 896, "glance_size": 128}).model["glance_size"] == 128
    with pytest.raises(ValueError, match=r"`glance_size`.*image_size=128.*Received: .*=200"):
        configure("edge", {"image_size": 128, "glance_size": 200})


@pytest.mark.parametrize(
    "arguments",
    [
        {"localizer": None},
        {"localizer": None, "image_size": 128},
        {"image_size": 256},
        {"backbone": "mobilenet"},
        {"crop_size": (64, 96), "max_fixations": 2},
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
        ("max_fixation", {"model": {"max_fixation": 2}}),
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
    assert changed.model["local_backbone"] == "vgg19_no_pool"


def test_accuracies_by_hand():
    logits = np.zeros((4, 6), "float32")
    logits[0, 0] = logits[1, 1] = logits[2, 5] = logits[3, 3] = 1
    logits[3, 2] = -1  # the only class outside the top five
    measured = predictions.accuracies(logits, np.array([0, 1, 2, 2]))
    assert measured["accuracy"] == 0.5
    assert measured["top5_accuracy"] == 0.75


def test_predictions_as_a_table():
    logits, scores = np.log([[0.25, 0.75], [0.5, 0.5]]), np.array([2.0, -1.0])
    about = {"known_from": 0.0, "labels": np.array([1, 1]), "names": ["a.jpg", "b.jpg"]}
    rows = predictions.prediction_rows(logits, scores, ["ant, red", "bee"], **about)
    assert files.table(rows) == (
        "file,label,predicted,probability,score,known,predicted_2,probability_2\n"
        'a.jpg,bee,bee,0.750000,2.000000,1,"ant, red",0.250000\n'
        'b.jpg,bee,"ant, red",0.500000,-1.000000,0,bee,0.500000\n'
    )
    (row, _) = predictions.prediction_rows(logits, scores, ["ant", "bee"], temperature=2.0)
    assert float(row["probability"]) == pytest.approx(3**0.5 / (1 + 3**0.5), abs=1e-6)
    assert (row["file"], row["known"]) == (0, 1)
    assert "label" not in row


def test_a_table_is_read_as_it_was_written(tmp_path):
    rows = [{"file": "ä, b.jpg", "label": 'a "b"'}, {"file": "=1+1", "label": ""}]
    files.write_text(tmp_path / "table.csv", files.table(rows))
    assert files.read_table(tmp_path / "table.csv") == rows
    assert files.read_table(tmp_path / "none.csv") == []
    assert files.table([], ["a", "b"]) == "a,b\n"


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
    model = {"localizer": None, "backbone": "mobilenet", "image_size": 32}
    names = {"dataset": f"folder:{photos}", "exclude": str(files)}
    return configure(model=model, weights="random", **names), files


def test_a_model_that_cannot_be_read_is_told_in_a_line(tmp_path):
    (tmp_path / "model.keras").write_text("something\nelse")
    with pytest.raises(ValueError, match=r"by this version. Received: .*model.keras") as caught:
        Run(tmp_path).load_model()
    assert len(str(caught.value).splitlines()) == 1


def test_a_run_from_before_an_option_was_one_goes_on(photos, tmp_path):
    model = {"localizer": None, "image_size": 32}
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
    run.write_splits(data.load(config.dataset))
    assert sum(split.size for split in run.load_data().splits.values()) == 30
    training.prepare(dataclasses.replace(config, exclude=None), run.directory, resume=True)
    assert not run.path("excluded.csv").exists()
