"""A training from a configuration to a finished run: options, interruptions, bad luck."""

import contextlib
import gc
import json
import os
import resource
import signal

import h5py
import keras
import numpy as np
import psutil
import pytest

from rra_keras import data, training
from rra_keras.training import fit
from rra_keras.training.checkpoint import STATE, Checkpoint, StateError
from rra_keras.training.clock import Clock
from rra_keras.training.config import configure
from rra_keras.training.run import Run
from rra_keras.training.stop import StoppedError


@pytest.fixture
def train(photos, build, tmp_path, monkeypatch):
    """Train a tiny model for two epochs of six steps, in a run directory; returns the `Run`.

    Of what follows the training only the weights are kept.
    """
    monkeypatch.setattr(
        fit,
        "finish",
        lambda config, run, source, model, *_: model.save_weights(run.path("end.weights.h5")),
    )

    def train(name, resume=False, localizer="cam", **options):
        dataset = f"folder:{photos}"
        config = configure("edge", dataset=dataset, **{"epochs": 2, "batch_size": 3} | options)
        keras.utils.set_random_seed(0)
        run = Run.create(tmp_path / name, {}, resume=resume)
        model = build(localizer=localizer)
        source = data.load(dataset, group_regex=r"(g\d+)_")
        assert source.splits["train"].size // 3 == 6
        training.train(config, run, source, model, Clock())
        return run

    return train


@contextlib.contextmanager
def at_step(epoch, step, action):
    """Do something in trainings when so many epochs, and steps of the next, are done."""

    def begin(checkpoint, *_, **__):
        if (checkpoint.epoch, checkpoint.step) == (epoch, step):
            action(checkpoint)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Checkpoint, "on_train_batch_begin", begin)
        yield


def cut_the_power(_):
    raise ZeroDivisionError("power cut")


def assert_same(run, other):
    assert run.path("history.csv").read_text() == other.path("history.csv").read_text()
    ends = [h5py.File(r.path("end.weights.h5")) for r in (run, other)]
    with ends[0], ends[1]:
        compared = []
        ends[0].visititems(lambda name, item: compared.append((item, ends[1][name])))
        arrays = [pair for pair in compared if isinstance(pair[0], h5py.Dataset)]
        assert len(arrays) > 30
        for a, b in arrays:
            np.testing.assert_array_equal(a, b)


def test_a_run_cut_in_mid_epoch_ends_bit_for_bit_like_one_that_was_not(train):
    options = {"localizer": "random", "augment": "mix", "ema": 0.9}  # boxes are drawn at each step
    whole = train("whole", **options)
    with at_step(1, 3, cut_the_power), pytest.raises(ZeroDivisionError):
        train("cut", **options, checkpoint_every=2)
    with pytest.raises(ValueError, match="--resume"):
        train("cut", **options)
    with np.load(whole.directory.parent / "cut" / STATE) as state:
        assert json.loads(state["progress"].item())["step"] == 2
    cut = train("cut", **options, resume=True)
    assert_same(whole, cut)
    assert not cut.path(STATE).exists()
    assert not list(cut.directory.rglob(".partial*"))


def test_a_run_cut_after_its_last_epoch_is_only_tested(train, monkeypatch):
    whole = train("whole")
    with monkeypatch.context() as patch:
        patch.setattr(fit, "finish", lambda *_: cut_the_power(None))
        with pytest.raises(ZeroDivisionError):
            train("cut")
    with at_step(1, 4, cut_the_power):  # no step is made again
        assert_same(whole, train("cut", resume=True))


@pytest.mark.parametrize(("signum", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_a_run_after_the_step_with_its_state_on_disk(train, signum, status, capfd):
    handler = signal.getsignal(signum)
    with (
        at_step(1, 2, lambda _: os.kill(os.getpid(), signum)),
        pytest.raises(StoppedError, match="after epoch 1 and 3 of 6 steps") as stopped,
    ):
        train("run")
    assert stopped.value.status == status
    assert "once more to stop now" in capfd.readouterr().err
    assert signal.getsignal(signum) is handler
    assert train("run", resume=True).path("end.weights.h5").exists()


def test_a_signal_in_the_last_step_lets_the_epoch_finish(train):
    with (
        at_step(0, 5, lambda _: os.kill(os.getpid(), signal.SIGTERM)),
        pytest.raises(StoppedError, match="after epoch 1 and 0 of 6 steps"),
    ):
        train("run")
    assert len((train("run", resume=True).path("history.csv")).read_text().splitlines()) == 3


def test_a_loss_that_is_not_finite_ends_the_run_and_leaves_its_state(train, tmp_path):
    with pytest.raises(FloatingPointError, match="lower `learning_rate` than 1e\\+30"):
        train("run", learning_rate=1e30, checkpoint_every=1)
    with np.load(tmp_path / "run" / STATE) as state:
        for name in state.files:
            assert name == "progress" or np.isfinite(state[name]).all()
    assert not (tmp_path / "run" / "end.weights.h5").exists()


def test_a_disk_that_takes_no_more_ends_the_run_and_leaves_its_state(train, tmp_path):
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(_):
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limit[1]))

    try:
        with at_step(1, 3, fill), pytest.raises(OSError, match="--resume goes on") as error:
            train("run", checkpoint_every=2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert "after epoch 1 and 2 of 6 steps" in str(error.value)
    assert not list((tmp_path / "run").rglob(".partial*"))
    assert_same(train("whole"), train("run", resume=True))


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes to read-only folders, too")
def test_a_run_directory_made_read_only_ends_the_run_and_leaves_its_state(train, tmp_path):
    folder = tmp_path / "run" / "checkpoints"
    with at_step(1, 3, lambda _: folder.chmod(0o500)), pytest.raises(OSError, match="Permission"):
        train("run", checkpoint_every=2)
    folder.chmod(0o700)
    assert train("run", resume=True).path("end.weights.h5").exists()


@pytest.mark.soak
def test_memory_is_flat_over_fifty_epochs(train, capsys):
    megabytes = []

    def begin(checkpoint, *_, **__):
        if checkpoint.step == 0:
            gc.collect()
            megabytes.append(psutil.Process().memory_info().rss / 2**20)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Checkpoint, "on_train_batch_begin", begin)
        train("run", epochs=50, ema=0.9, augment="mix", checkpoint_every=2)
    with capsys.disabled():
        print(f"\nMiB after epochs 0, 10, …: {[round(size) for size in megabytes[::10]]}")
    assert len(megabytes) == 50
    assert max(megabytes[10:]) - megabytes[10] < 30


def cut_short(state):
    state.write_bytes(state.read_bytes()[:-1000])


def of_another_model(state):
    with np.load(state) as arrays:
        fewer = {name: arrays[name] for name in arrays.files if name != "model_0"}
    np.savez(state, **fewer)


class _Evil:
    def __reduce__(self):
        return os.mkdir, ("evil",)


def of_pickles(state):
    np.savez(state, progress=np.array([_Evil()], object))


@pytest.mark.parametrize("damage", [cut_short, of_another_model, of_pickles])
def test_a_state_that_cannot_be_used_is_refused_by_name(train, tmp_path, monkeypatch, damage):
    monkeypatch.chdir(tmp_path)
    with at_step(1, 1, cut_the_power), pytest.raises(ZeroDivisionError):
        train("run")
    damage(tmp_path / "run" / STATE)
    with pytest.raises(StateError, match=r"state.npz.*start anew with --overwrite"):
        train("run", resume=True)
    assert not (tmp_path / "evil").exists()


def prepare(photos, directory, precision):
    model = {"image_size": 64, "glance_size": 32, "patch_size": 32, "steps": 1, "units": 4}
    config = configure(
        "edge",
        model | {"backbone": "mobilenet", "train_from": "conv_pw_13"},
        dataset=f"folder:{photos}",
        weights="none",
        precision=precision,
        **{"epochs": 1, "batch_size": 4},
    )
    return config, training.prepare(config, directory)


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_layers_compute_in_the_precision_asked_for_and_in_no_other_model(
    photos, tmp_path, precision
):
    _, (_, _, model, _) = prepare(photos, tmp_path / "run", precision)
    assert model.get_layer("encoder").compute_dtype == precision.removeprefix("mixed_")
    assert {weight.dtype for weight in model.weights} == {"float32"}
    assert keras.config.dtype_policy().name == "float32"


def test_what_is_kept_of_a_training_in_mixed_precision_computes_in_float32(photos, tmp_path):
    config, prepared = prepare(photos, tmp_path / "run", "mixed_float16")
    training.train(config, *prepared)
    kept = prepared[0].load_model()
    assert {layer.compute_dtype for layer in kept.layers} == {"float32"}


def test_balanced_classes_by_hand(photos):
    split = data.load(f"folder:{photos}").splits["train"]
    assert fit.balanced(split, 3) == pytest.approx({0: 1.0, 1: 1.0, 2: 1.0})
    # The first ten: all six of the first class, four of the second.
    assert fit.balanced(split.subset(range(10)), 3) == pytest.approx(
        {0: 10 / 18, 1: 10 / 12, 2: 10 / 3}
    )
