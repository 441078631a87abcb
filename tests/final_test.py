"""Training on all photos of a run that was measured."""

import json
import shutil

import numpy as np
import pytest
from conftest import command, last_line

import rra_keras
from rra_keras import data, evaluate, train_command
from rra_keras.data.sources import joined
from rra_keras.runs import Run, files
from rra_keras.training.final import final_config

SMALL = {"backbone": "tiny", "weights": "random", "localizer": None, "image_size": 32}


@pytest.fixture(scope="module")
def measured(photos, tmp_path_factory):
    """A run of the plain backbone."""
    directory = tmp_path_factory.mktemp("runs") / "measured"
    return rra_keras.train(photos, directory, epochs=2, batch_size=4, seed=3, **SMALL)


@pytest.fixture(scope="module")
def final(measured):
    """What `--final` printed, and its run."""
    status, printed, errors = command(train_command.main, f"--final={measured}")
    assert status == 0, errors
    return printed, Run.open(f"{measured}-final")


def test_all_photos_are_trained_on_as_before(measured, final):
    printed, run = final
    count = sum(split.size for split in measured.load_data().splits.values())
    assert f"training on all {count} photos of {measured}" in printed
    assert f"Trained on all {count} photos, so it cannot be measured on them" in printed
    assert f"Test accuracy {measured.metrics['test_accuracy']:.1%}" in printed
    rows = files.read_table(run.path("splits.csv"))
    assert len(rows) == count
    assert {row["split"] for row in rows} == {"train"}
    assert run.config == {**measured.config, "final": str(measured)}
    assert len(files.read_table(run.path("history.csv"))) == 2
    assert not run.path("test.csv").exists()
    metrics = json.loads(run.path("metrics.json").read_text())
    assert metrics["photos"] == count
    assert metrics["measured"]["test_accuracy"] == measured.metrics["test_accuracy"]
    assert "test_accuracy" not in metrics


def test_it_is_as_long_as_the_measured_one_where_that_was_not_told(measured, tmp_path):
    run = shutil.copytree(measured.directory, tmp_path / "run")
    (run / "config.json").write_text(json.dumps({**measured.config, "epochs": None}))
    assert final_config(run).epochs == 2  # so few photos take 18 by themselves


def test_the_calibration_is_that_of_the_measured_run(measured, final):
    ours, theirs = final[1].load_model(), measured.model
    assert ours.calibration.temperature == theirs.calibration.temperature
    assert ours.calibration.known_from == theirs.calibration.known_from
    assert not np.allclose(ours.classifier.get_weights()[0], theirs.classifier.get_weights()[0])


def test_nothing_is_left_to_measure_it_on(final, photos):
    _, run = final
    status, _, errors = command(evaluate.main, run)
    assert (status, len(errors.splitlines())) == (2, 1)
    assert "a run that has photos to be measured on, such as" in errors
    assert set(run.load_data().splits) == {"train", "validation", "test"}  # for an export


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--final=RUN", "--epochs=3"], "no other options, as they are those of RUN. Received: --"),
        (["--final=RUN-final"], "Expected a run that was measured. Received: RUN-final"),
        (["--final=nowhere"], "Received: nowhere, without config.json"),
    ],
)
def test_what_it_refuses(measured, final, flags, message):
    flags = [flag.replace("RUN", str(measured)) for flag in flags]
    status, _, errors = command(train_command.main, *flags)
    assert status == 2
    assert message.replace("RUN", str(measured)) in last_line(errors)


def test_several_splits_are_one(photos):
    splits = list(data.load(str(photos)).splits.values())
    whole = joined("all", splits)
    assert whole.size == sum(split.size for split in splits)
    names = [name for split in splits for name in split.names]
    assert list(whole.names) == names
    by_name = {
        n: label for split in splits for n, label in zip(split.names, split.labels, strict=True)
    }
    assert whole.labels.tolist() == [by_name[name] for name in names]
    in_order = list(whole.examples(None).as_numpy_iterator())
    assert [e["index"] for e in in_order] == list(range(whole.size))
    orders = []
    for seed in (1, 1, 2):
        drawn = list(whole.examples(seed).as_numpy_iterator())
        orders.append([int(e["index"]) for e in drawn])
        for each in drawn:
            same = in_order[each["index"]]
            assert (each["image"], each["label"]) == (same["image"], same["label"])
    assert sorted(orders[0]) == list(range(whole.size))
    assert orders[0] == orders[1] != orders[2]
    first = np.array(orders[0]) < splits[0].size
    assert 0 < first[: whole.size // 2].sum() < splits[0].size  # the parts are mixed
