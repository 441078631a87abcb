"""Learning rates over time and depth, accumulated gradients, averaged weights."""

import keras
import numpy as np
import pytest

from rra_keras.models import TwoStreamClassifier
from rra_keras.training.config import configure
from rra_keras.training.optimizer import make_optimizer


def rates(config, model):
    """Return the peak learning rate of each trainable variable, by path."""
    optimizer = make_optimizer(config, model, 100)
    peaks = {}
    for variable in model.trainable_variables:
        schedule = optimizer._optimizer_map(variable)._learning_rate
        peaks[variable.path] = schedule.warmup_target
    return peaks


def test_the_paper_s_schedule(build):
    config = configure("paper_vgg19")
    rate = make_optimizer(config, build(), steps_per_epoch=10)._learning_rate
    epochs = {0: 1e-3, 29: 1e-3, 31: 1e-4, 59: 1e-4, 61: 1e-5, 89: 1e-5}
    for epoch, expected in epochs.items():
        assert float(rate(epoch * 10 + 5)) == pytest.approx(expected)


def test_the_cosine_schedule_warms_up_and_ends_at_zero(build):
    config = configure("edge", epochs=10, learning_rate=0.5)
    rate = make_optimizer(config, build(), steps_per_epoch=10)._learning_rate
    assert float(rate(0)) == 0
    assert float(rate(5)) == pytest.approx(0.5)
    assert float(rate(100)) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("photos", "epochs"), [(10, 18), (266, 18), (267, 18), (303, 16), (801, 6), (5000, 6)]
)
def test_few_photos_are_trained_on_for_more_epochs(photos, epochs):
    assert configure("edge", batch_size=16).epochs_for(photos) == epochs
    assert configure("edge", epochs=3).epochs_for(photos) == 3
    assert configure("paper_vgg19").epochs_for(photos) == 90


def test_rates_fall_geometrically_from_the_heads_to_the_first_layer(build):
    config = configure("edge", epochs=10, learning_rate=0.5, first_layer_rate=0.04)
    peaks = rates(config, build())
    assert peaks["block_0_conv/kernel"] == pytest.approx(0.5 * 0.04)
    assert peaks["block_0_conv/bias"] == pytest.approx(0.5 * 0.04)
    assert peaks["block_1_conv/kernel"] == pytest.approx(0.5 * 0.2)  # √0.04
    assert peaks["classifier/kernel"] == pytest.approx(0.5)
    frozen = rates(config, build(train_from="block_1"))
    assert frozen["block_1_conv/kernel"] == pytest.approx(0.5 * 0.04)


def test_two_encoders_of_one_backbone_have_the_same_rates(build, backbone):
    config = configure("edge", epochs=10, learning_rate=0.5, first_layer_rate=0.04)
    options = {"local_backbone": backbone, "image_size": 64, "crop_size": 32, "units": 4}
    both, one = rates(config, TwoStreamClassifier(backbone, 3, **options)), rates(config, build())
    encoder = [path for path in one if path.startswith("block_")]
    assert len(encoder) == 4
    assert all(both[path] == one[path] for path in encoder)


def test_a_model_with_rates_by_layer_comes_back_compiled(build, batch, tmp_path):
    config = configure("edge", first_layer_rate=0.1, epochs=1)
    model = build()
    model.compile(make_optimizer(config, model, 2))
    model.fit(*batch, batch_size=5, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for a, b in zip(model.optimizer.variables, loaded.optimizer.variables, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(a), keras.ops.convert_to_numpy(b))


def test_two_accumulated_batches_are_one_twice_as_large(build, batch):
    images, labels = (array[:8] for array in batch)
    ends = []
    for steps, size in ((1, 8), (2, 4)):
        keras.utils.set_random_seed(0)
        model = build(localizer=None)  # whose boxes are not moved at random
        # Warm-up: the rate is its peak at the end of the first twentieth.
        config = configure("edge", epochs=1, accumulation_steps=steps, schedule="step")
        model.compile(make_optimizer(config, model, 100))
        model.fit(images, labels, batch_size=size, shuffle=False, verbose=0)
        ends.append(model.get_weights())
    for a, b in zip(*ends, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-7)


def test_averaged_weights_by_hand(build, batch):
    model = build()
    config = configure("edge", epochs=6, ema=0.75, schedule="step")
    model.compile(make_optimizer(config, model, 1))
    classifier, steps = model.classifier, []
    for _ in range(2):
        model.train_on_batch(*batch)
        steps.append(classifier.get_weights()[0])
    assert np.abs(steps[1] - steps[0]).max() > 1e-5
    model.optimizer.finalize_variable_values(model.trainable_variables)
    kept = classifier.get_weights()[0]  # the average starts at the weights after the first step
    np.testing.assert_allclose(kept, 0.75 * steps[0] + 0.25 * steps[1], atol=1e-7)
