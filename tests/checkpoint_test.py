"""Which epoch's weights a training keeps."""

import pytest

from rra_keras.runs import Run
from rra_keras.training.checkpoint import Checkpoint
from rra_keras.training.stop import StopRequest

NAN = float("nan")


@pytest.mark.parametrize(
    ("figures", "photos", "kept"),
    [
        ([0.5, 0.7, 0.9], 100, 2),
        ([0.5, 0.9, 0.88], 100, 2),  # the standard error of 0.9 is 0.03
        ([0.5, 0.9, 0.86], 100, 1),
        ([0.5, 0.9, 0.86], 25, 2),  # and here 0.06
        ([0.9, 0.88, 0.86], 100, 1),
        ([0.9, 0.86, 0.95], 100, 2),
        ([1.0, 0.99, 0.99], 100, 0),
        ([0.0, 0.0, 0.0], 100, 2),
        ([0.5, NAN], 100, 1),
    ],
)
def test_the_last_epoch_is_kept_that_is_as_good_as_the_best(build, tmp_path, figures, photos, kept):
    model = build(localizer=None)
    checkpoint = Checkpoint(
        Run(tmp_path), "val_accuracy", 1, None, StopRequest(), writes=True, photos=photos
    )
    checkpoint.set_model(model)
    for epoch, figure in enumerate(figures):
        model.classifier.bias.assign([epoch, 0.0, 0.0])
        checkpoint.on_epoch_end(epoch, {"val_accuracy": figure})
    checkpoint.restore_best(model)
    assert float(model.classifier.bias[0]) == kept
    assert checkpoint.kept == pytest.approx(figures[kept], nan_ok=True)


def test_without_a_figure_the_last_epoch_is_kept(build, tmp_path):
    model = build(localizer=None)
    checkpoint = Checkpoint(Run(tmp_path), None, 1, None, StopRequest(), writes=True)
    checkpoint.set_model(model)
    for epoch in range(2):
        model.classifier.bias.assign([epoch, 0.0, 0.0])
        checkpoint.on_epoch_end(epoch, {"loss": 1.0})
    checkpoint.restore_best(model)
    assert float(model.classifier.bias[0]) == 1
    assert checkpoint.kept is None
