"""A trained run, opened again with the data it was trained on."""

import pathlib

from rra_keras import RRAClassifier
from rra_keras.training.run import Run, read_model


def open_run(path, dataset=None, data_dir=None):
    """Open the run that a model file lies in, and its data.

    Args:
        path: RUN/model.keras.
        dataset: other data than the run's own, with the same classes.
        data_dir: where named data sets are kept.

    Returns:
        A `Run` and a `Source`.

    Raises:
        ValueError: if the file lies in no run, or the data have other classes.
        FileNotFoundError: if there is no such file.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            "Invalid value for `--model`. Expected a run's model.keras. "
            f"Received: {path}, which is no file"
        )
    run = Run(path.parent)
    for name in ("config.json", "labels.txt"):
        if not run.path(name).is_file():
            raise ValueError(
                "Invalid value for `--model`. Expected a model.keras in the directory of its run. "
                f"Received: {path}, without {name} beside it"
            )
    return run, run.load_data(dataset, data_dir)


def labels(path):
    """Return the class names of the run that a model file lies in."""
    return Run(pathlib.Path(path).parent).class_names


def load_model(path, class_names):
    """Load an `RRAClassifier`.

    Raises:
        ValueError: if the file holds something else, is damaged, or has other classes.
    """
    model = read_model(path, compile=False)
    if not isinstance(model, RRAClassifier):
        raise ValueError(
            "Invalid value for `--model`. Expected an RRAClassifier. "
            f"Received: {path}, a {type(model).__name__}"
        )
    if model.num_classes != len(class_names):
        raise ValueError(
            "Invalid value for `--model`. Expected as many classes as labels.txt has. "
            f"Received: {path} with {model.num_classes} classes, {len(class_names)} labels"
        )
    return model
