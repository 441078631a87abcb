"""How weights are updated: learning rates over time and over depth."""

import math

import keras

from rra_keras.training.devices import leaves


def make_optimizer(config, model, steps_per_epoch):
    """Return SGD with momentum as a `Config` describes it, for a model's own layers.

    1. The learning rate follows the schedule, step by step.
    2. With `first_layer_rate` r, the trainable layers of an encoder get r^(1 − i/L) of it, i = 0
       for the first of L layers, so that what is near the pixels changes least.
    3. With `ema`, a moving average of the weights is kept beside them.

    The number of epochs has to be in the `Config` (`epochs_for`): the schedule goes by it.
    """
    options = {"momentum": 0.9, "weight_decay": config.weight_decay}
    if config.ema is not None:
        options |= {"use_ema": True, "ema_momentum": config.ema}
    if config.accumulation_steps > 1:
        options |= {"gradient_accumulation_steps": config.accumulation_steps}

    def sgd(rate):
        schedule = make_schedule(config.schedule, rate, config.epochs * steps_per_epoch)
        return keras.optimizers.SGD(schedule, **options)

    if config.first_layer_rate == 1:
        return sgd(config.learning_rate)
    optimizers = {}
    for encoder in model.encoders:
        layers = [layer for layer in leaves(encoder) if layer.trainable_variables]
        for i, layer in enumerate(layers):
            share = config.first_layer_rate ** (1 - i / len(layers))
            for variable in layer.trainable_variables:
                # Two encoders of one backbone name their variables alike: one rate for both.
                optimizers.setdefault(variable.path, sgd(config.learning_rate * share))
    return keras.optimizers.MultiOptimizer(
        keras.optimizers.OptimizerMap(sgd(config.learning_rate), optimizers)
    )


def make_schedule(name, rate, steps):
    """Return the learning rate at each of `steps` steps.

    Args:
        name: `"cosine"`, up to `rate` in a twentieth of the steps and down to 0; or `"step"`, ÷10
            after a third and two thirds of them.
        rate: the peak.
        steps: steps of the whole training.
    """
    if name == "step":
        rates = [rate * 0.1**k for k in range(3)]
        boundaries = [math.ceil(steps / 3), math.ceil(steps * 2 / 3)]
        return keras.optimizers.schedules.PiecewiseConstantDecay(boundaries, rates)
    warmup = max(1, steps // 20)
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0,
        decay_steps=max(1, steps - warmup),
        warmup_target=rate,
        warmup_steps=warmup,
    )
