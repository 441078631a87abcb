"""Training on all photos of a run that was measured, before it is used."""

import dataclasses

from rra_keras.data.sources import joined
from rra_keras.runs import Run
from rra_keras.training.config import Config


def final_config(path):
    """Return the `Config` to train on all photos of a measured run, as it was trained.

    Args:
        path: the run.

    Raises:
        ValueError: if there is no such run, or it is itself trained on all photos.
    """
    run = Run.open(path)
    stored = run.config
    if stored.get("final") or run.metrics is None:
        raise ValueError(
            "Invalid value for `--final`. Expected a run that was measured. "
            f"Received: {run}, which was not"
        )
    # As long as it was, not as long as for the more photos that are trained on now.
    stored |= {"epochs": run.metrics.get("epochs", stored["epochs"]), "final": str(path)}
    fields = {field.name for field in dataclasses.fields(Config)}
    return Config(**{k: v for k, v in stored.items() if k in fields})


def everything(path):
    """Return the data of a measured run as a `Source` whose train split has all photos."""
    source = Run.open(path).load_data()
    whole = joined("train", [source.splits[name] for name in ("train", "validation", "test")])
    note = f"training on all {whole.size} photos of {path}: nothing is left to measure it on"
    return dataclasses.replace(source, splits={"train": whole}, notes=(note,), changes=())


def like(path, weights):
    """Return a new model like that of a measured run, with its localizer, and the run's model.

    Args:
        path: the run.
        weights: of the backbone.
    """
    measured = Run.open(path).load_model()
    model = measured.from_config({**measured.get_config(), "weights": weights})
    if measured.attention:
        model.attention.localizer.set_weights(measured.attention.localizer.get_weights())
    return model, measured


def take_calibration(model, measured):
    """Give a model what was fitted to the validation photos of a measured run."""
    ours, theirs = model.calibration, measured.calibration
    ours.temperature, ours.known_from = theirs.temperature, theirs.known_from
    if model.answer == "any":
        ours.thresholds = theirs.thresholds
    if model.attention:
        ours, theirs = model.fixation_attention, measured.fixation_attention
        ours.temperature, ours.sure_from = theirs.temperature, theirs.sure_from
