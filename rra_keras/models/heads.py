"""What the classifier ends in: its dense layers, and the tensors that looks come to."""

import keras
from keras import ops


def classifier_layer(num_classes, name):
    """Return a dense layer from features to logits."""
    initializer = keras.initializers.RandomNormal(stddev=0.01)
    # Logits stay float32 under mixed precision.
    return keras.layers.Dense(
        num_classes, kernel_initializer=initializer, dtype="float32", name=name
    )


def projection_layer(width, index):
    """Return a 1×1 convolution of the paper's, before the glance's classifier."""
    return keras.layers.Conv2D(
        width,
        1,
        activation="relu",
        kernel_initializer=keras.initializers.VarianceScaling(2.0, "fan_out"),
        name=f"projection_{index}",
    )


def as_outputs(features):
    """Return the encoder's feature map and its finer one, `None` where there is none."""
    features = features if isinstance(features, (list, tuple)) else [features]
    return [*features, None][:2]


def looks_tensors(looks):
    """Return the looks' intermediates by name."""
    tensors = {"boxes": ops.stack([look.box for look in looks], axis=1)}  # (B, looks, 4)
    for k, look in enumerate(looks, start=1):
        tensors[f"look_{k}_box"] = look.box
        tensors[f"look_{k}_crop"] = look.crop
        tensors[f"look_{k}_features"] = look.features
        if look.vote is not None:
            tensors[f"look_{k}_vote"] = look.vote
    return tensors


def decide(looks, attention, step_classifier):
    """Return what the looks say together, and step by step.

    Of several looks, each step is told where its look is.
    """
    vectors = [look.vector for look in looks]
    if len(looks) > 1:
        vectors = [
            ops.concatenate([look.vector, ops.cast(look.box, look.vector.dtype)], axis=-1)
            for look in looks
        ]  # (B, D + 4) each
    aggregate, states, step_weights = attention(vectors)
    look_logits = step_classifier(aggregate)
    step_logits = step_classifier(states)  # (B, T, C)
    votes = [look.vote for look in looks if look.vote is not None]
    if votes:
        vote = keras.layers.average(votes) if len(votes) > 1 else votes[0]
        look_logits = look_logits + vote
        step_logits = step_logits + ops.expand_dims(vote, 1)
    return {
        "states": states,
        "step_weights": step_weights,
        "step_logits": step_logits,
        "look_logits": look_logits,
    }
