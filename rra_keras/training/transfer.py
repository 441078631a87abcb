"""Going on from another run: its weights, and what it knows of the classes that stay."""

import itertools

import numpy as np
from keras import ops

from rra_keras.runs import Run


def open_source(directory):
    """Open the run to start from.

    Returns:
        Its `(model, class_names)`.

    Raises:
        ValueError: if there is no finished run.
    """
    try:
        run = Run.open(directory)
    except ValueError:
        raise ValueError(
            "Invalid value for `--init_from`. Expected the directory of a finished run. "
            f"Received: {directory}"
        ) from None
    return run.load_model(), run.class_names


def take_over(model, class_names, source, source_names):
    """Start a model from the weights of another one, whose classes may be others.

    1. Every weight but the classifiers' is the other model's: encoder, localizer, attention.
    2. Of each classifier, the columns of the classes that both know, by name. Those of new classes
       stay as they are.
    3. A model of one label a photo and one of several differ in their thresholds, which stay.

    Args:
        model: the model to start.
        class_names: its classes, in the order of the logits.
        source: a model of the same layers.
        source_names: that model's classes.

    Raises:
        ValueError: if the models have other layers, naming the first weight that differs; or
            another glance, as the localizer has learned what objects look like in its own.
    """
    stay = [name for name in class_names if name in source_names]
    ours = [class_names.index(name) for name in stay]
    theirs = [source_names.index(name) for name in stay]
    columns = {variable.path for head in model.classifiers for variable in head.variables}
    pairs = list(itertools.zip_longest(*map(_shared, (model, source))))
    for variable, other in pairs:
        shapes = [None if v is None else (v.path, *v.shape) for v in (variable, other)]
        if variable is not None and variable.path in columns:
            shapes = [shape and shape[:-1] for shape in shapes]
        if shapes[0] != shapes[1]:
            expected, received = (
                "none" if v is None else f"{v.path} {tuple(v.shape)}" for v in (variable, other)
            )
            raise ValueError(
                "Invalid value for `--init_from`. Expected a run whose model has the same layers; "
                "give the arguments that it was trained with. "
                f"Received: {received}, in place of {expected}"
            )
    sizes = [m.attention.glance_size for m in (source, model) if getattr(m, "attention", None)]
    if len(set(sizes)) > 1:
        expected, received = sizes
        raise ValueError(
            f"Invalid value for `--glance_size`. Expected {expected}, by which the localizer of "
            f"`--init_from` learned. Received: {received}"
        )
    for variable, other in pairs:
        values = ops.convert_to_numpy(other)
        if variable.path in columns:
            known, values = values, np.array(ops.convert_to_numpy(variable))
            values[..., ours] = known[..., theirs]
        variable.assign(values)


def _shared(model):
    """Return the weights of a model but for the labels' thresholds, which only some have."""
    return [v for v in model.weights if v.path != "calibration/thresholds"]
