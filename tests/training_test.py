"""A training from a configuration to a finished run: options, interruptions, bad luck."""

import contextlib
import gc
import json
import os
import resource
import shutil
import signal

import h5py
import keras
import numpy as np
import psutil
import pytest
from conftest import tensorflow_only

from rra_keras import data, training
from rra_keras.runs import Run
from rra_keras.training import fit
from rra_keras.training.checkpoint import STATE, Checkpoint, StateError
from rra_keras.training.clock import Clock
from rra_keras.training.config import configure
from rra_keras.training.stop import StoppedError, StopRequest


@pytest.fixture(scope="module")
def train(photos, build, tmp_path_factory):
    """Train a tiny model for two epochs of six steps, in a directory of its own; returns the `Run`.

    Of what follows the training only the weights are kept.
    """
    dataset = f"folder:{photos}"
    source = data.load(dataset, group_regex=r"(g\d+)_", seed=2)
    assert source.splits["train"].size // 3 == 6

    def keep(config, run, source, model, *_):
        assert {layer.compute_dtype for layer in model.layers} == {"float32"}
        model.save_weights(run.path("end.weights.h5"))

    def train(run=None, **options):
        config = configure("edge", dataset=dataset, **{"epochs": 2, "batch_size": 3} | options)
        resume = run is not None
        run = Run.create(run or tmp_path_factory.mktemp("runs") / "run", {}, resume=resume)
        keras.utils.set_random_seed(0)
        keras.config.set_dtype_policy(config.precision)
        try:
            model = build()
        finally:
            keras.config.set_dtype_policy("float32")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(fit, "finish", keep)
            training.train(config, training.Prepared(run, source, Clock()), model)
        return run

    return train


@pytest.fixture(scope="module")
def whole(train):
    """A run that nothing stopped."""
    return train()


@contextlib.contextmanager
def at_step(epoch, step, action):
    """Do something in trainings when so many epochs, and steps of the next, are done."""

    def begin(checkpoint, *_, **__):
        if (checkpoint.epoch, checkpoint.step) == (epoch, step):
            action(checkpoint)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Checkpoint, "on_train_batch_begin", begin)
        yield


class PowerCutError(Exception):
    def __init__(self, checkpoint):
        self.run = checkpoint.run


def cut_the_power(checkpoint):
    raise PowerCutError(checkpoint)


@pytest.fixture
def cut(train):
    """Start a training whose power is cut; returns the `Run`."""

    def cut(epoch, step, **options):
        with at_step(epoch, step, cut_the_power), pytest.raises(PowerCutError) as error:
            train(**options)
        return error.value.run

    return cut


def assert_same(run, other):
    assert run.path("history.csv").read_text() == other.path("history.csv").read_text()
    ends = [h5py.File(r.path("end.weights.h5")) for r in (run, other)]
    with ends[0], ends[1]:
        compared = []
        ends[0].visititems(lambda name, item: compared.append((item, ends[1][name])))
        arrays = [pair for pair in compared if isinstance(pair[0], h5py.Dataset)]
        assert len(arrays) > 12
        for a, b in arrays:
            np.testing.assert_array_equal(a, b)


def test_a_run_cut_in_mid_epoch_ends_bit_for_bit_like_one_that_was_not(train, cut):
    options = {"augment": "mix", "ema": 0.9}
    run = cut(1, 3, **options, checkpoint_every=2)
    with pytest.raises(ValueError, match="--resume"):
        Run.create(run.directory, {})
    with np.load(run.path(STATE)) as state:
        assert json.loads(state["progress"].item())["step"] == 2
    train(run.directory, **options)
    assert_same(train(**options), run)
    assert not run.path(STATE).exists()
    assert not list(run.directory.rglob(".partial*"))


@tensorflow_only("the same by JAX, which takes long to compile it")
@pytest.mark.parametrize(
    "options",
    [
        {"accumulation_steps": 4, "class_weight": "balanced"},  # stopped between two updates
        {"first_layer_rate": 0.1, "precision": "mixed_float16"},
    ],
    ids=["accumulation_class_weight", "first_layer_rate_float16"],
)
def test_a_stopped_run_ends_bit_for_bit_like_one_that_was_not(train, monkeypatch, options):
    monkeypatch.setattr(fit, "balanced", lambda *_: {0: 0.5, 1: 1.0, 2: 4.0})

    def stop(checkpoint):
        checkpoint.stop.signum = signal.SIGTERM
        stopped.append(checkpoint.run)

    stopped = []
    with at_step(1, 2, stop), pytest.raises(StoppedError, match="after epoch 1 and 3 of 6 steps"):
        train(**options)
    assert_same(train(**options), train(stopped[0].directory, **options))


@tensorflow_only("the same by JAX, which takes long to compile it")
def test_a_run_cut_after_its_last_epoch_is_only_tested(train, whole, monkeypatch):
    cut = []

    def end(checkpoint, logs=None, before=Checkpoint.on_train_end):
        before(checkpoint, logs)
        cut.append(checkpoint.run)
        cut_the_power(checkpoint)

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "on_train_end", end)
        with pytest.raises(PowerCutError):
            train()
    with monkeypatch.context() as patch:
        patch.setattr(keras.Model, "fit", None)  # no step is made again
        assert_same(whole, train(cut[0].directory))


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_a_request_to_stop(signum, capfd):
    handler = signal.getsignal(signum)
    with StopRequest() as stop:
        assert stop.signum is None
        os.kill(os.getpid(), signum)
        assert stop.signum == signum
        assert signal.getsignal(signum) is handler  # the next one ends the process
    assert signal.getsignal(signum) is handler
    assert capfd.readouterr().err == (
        f"\n{signum.name}: stopping after this step; once more to stop now.\n"
    )


@tensorflow_only("the same by JAX, which takes long to compile it")
def test_a_signal_in_the_last_step_lets_the_epoch_finish(train):
    with (
        at_step(0, 5, lambda _: os.kill(os.getpid(), signal.SIGTERM)),
        pytest.raises(StoppedError, match="after epoch 1 and 0 of 6 steps") as stopped,
    ):
        train()
    assert stopped.value.status == 143


def test_a_loss_that_is_not_finite_ends_the_run_and_leaves_its_state(train):
    runs = []
    with (
        at_step(0, 0, lambda checkpoint: runs.append(checkpoint.run)),
        pytest.raises(FloatingPointError, match=r"lower `learning_rate` than 1e\+30"),
    ):
        train(learning_rate=1e30, checkpoint_every=1)
    with np.load(runs[0].path(STATE)) as state:
        for name in state.files:
            assert name == "progress" or np.isfinite(state[name]).all()
    assert not runs[0].path("end.weights.h5").exists()


@tensorflow_only("the same by JAX, which takes long to compile it")
def test_a_disk_that_takes_no_more_ends_the_run_and_leaves_its_state(train, whole):
    limit, runs = resource.getrlimit(resource.RLIMIT_FSIZE), []

    def fill(checkpoint):
        runs.append(checkpoint.run)
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limit[1]))

    try:
        with at_step(1, 3, fill), pytest.raises(OSError, match="--resume goes on") as error:
            train(checkpoint_every=2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert "after epoch 1 and 2 of 6 steps" in str(error.value)
    assert not list(runs[0].directory.rglob(".partial*"))
    assert_same(whole, train(runs[0].directory))


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes to read-only folders, too")
def test_a_run_directory_made_read_only_ends_the_run_and_leaves_its_state(train):
    runs = []

    def close(checkpoint):
        runs.append(checkpoint.run)
        checkpoint.run.path("checkpoints").chmod(0o500)

    with at_step(1, 3, close), pytest.raises(OSError, match="Permission"):
        train(checkpoint_every=2)
    runs[0].path("checkpoints").chmod(0o700)
    assert train(runs[0].directory).path("end.weights.h5").exists()


@pytest.mark.soak
def test_memory_is_flat_over_fifty_epochs(train, capsys):
    megabytes = []

    def begin(checkpoint, *_, **__):
        if checkpoint.step == 0:
            gc.collect()
            megabytes.append(psutil.Process().memory_info().rss / 2**20)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Checkpoint, "on_train_batch_begin", begin)
        train(epochs=50, ema=0.9, augment="mix", checkpoint_every=2)
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


@pytest.fixture(scope="module")
def interrupted(train):
    """A run that was cut, with its state."""
    with at_step(0, 1, cut_the_power), pytest.raises(PowerCutError) as error:
        train(checkpoint_every=1)
    return error.value.run


@pytest.mark.parametrize("damage", [cut_short, of_another_model, of_pickles])
def test_a_state_that_cannot_be_used_is_refused_by_name(
    train, interrupted, tmp_path, monkeypatch, damage
):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(interrupted.directory, tmp_path / "run")
    damage(tmp_path / "run" / STATE)
    with pytest.raises(StateError, match=r"state.npz.*start again with --overwrite"):
        train(tmp_path / "run")
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_layers_compute_in_the_precision_asked_for_and_in_no_other_model(
    photos, tmp_path, precision
):
    model = {"image_size": 64, "glance_size": 32, "crop_size": 32}
    config = configure(
        "edge",
        model | {"backbone": "tiny", "train_from": "block_2"},
        dataset=f"folder:{photos}",
        weights="random",
        precision=precision,
    )
    model = training.build(config, training.prepare(config, tmp_path / "run"))
    assert model.get_layer("encoder").compute_dtype == precision.removeprefix("mixed_")
    assert {weight.dtype for weight in model.weights} == {"float32"}
    assert keras.config.dtype_policy().name == "float32"


def test_a_finished_run_is_not_trained_again(photos, tmp_path):
    run = Run.create(tmp_path, {})
    assert run.metrics is None
    run.write_json("metrics.json", {"test_accuracy": 0.5})
    prepared = training.Prepared(run, source=None, clock=None)
    assert training.train(configure(), prepared, None) == {"test_accuracy": 0.5}


def test_balanced_classes_by_hand(photos):
    split = data.load(f"folder:{photos}").splits["train"]
    # Seven, eight and seven of the classes.
    assert fit.balanced(split, 3) == pytest.approx({0: 22 / 21, 1: 22 / 24, 2: 22 / 21})
    # The first ten: all seven of the first class, three of the second.
    assert fit.balanced(split.subset(range(10)), 3) == pytest.approx(
        {0: 10 / 21, 1: 10 / 9, 2: 10 / 3}
    )


@pytest.mark.parametrize(("image_size", "said"), [(128, True), (64, False)])
def test_photos_smaller_than_the_images_are_told(photos, tmp_path, capsys, image_size, said):
    model = {"image_size": image_size, "glance_size": 32, "crop_size": 32}
    model |= {"backbone": "tiny", "train_from": "block_2"}
    config = configure("edge", model, dataset=f"folder:{photos}", weights="random")
    training.prepare(config, tmp_path / "run")
    line = "The photos have about 72 pixels a side, fewer than --image_size=128"
    assert (line in capsys.readouterr().out) == said
