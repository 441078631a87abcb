"""The early layers of an encoder: what they see tells where things are."""

import keras


def trunk_output(backbone, train_from):
    """Return the feature map `(B, h, w, D)` that the block `train_from` of a backbone reads.

    Raises:
        ValueError: if there is no such block, or it reads other than one feature map.
    """
    starts = [
        layer
        for layer in backbone.layers
        if train_from and f"{layer.name}_".startswith(f"{train_from}_")
    ]
    if not starts or len(getattr(starts[0].input, "shape", ())) != 4:
        raise ValueError(
            "Invalid value for `train_from`. Expected the name of a layer or a block of "
            f"{backbone.name} that reads one feature map, for a localizer that learns from what "
            f"comes before it. Received: train_from={train_from!r}"
        )
    return starts[0].input


def build_trunk(encoder, train_from=None):
    """Return the early layers of an encoder, as a model.

    The trunk shares the encoder's layers and weights. What is learned from its features stays true
    only while they stay: where `build_encoder(..., train_from=...)` froze them, or in an encoder
    that is trained nowhere.

    Example:
        encoder = backbones.build_encoder("efficientnet_lite0", train_from="block_11")
        features = backbones.build_trunk(encoder, "block_11")(images)  # (9, 4, 4, 112)

    Args:
        encoder: a model that `build_encoder` returned.
        train_from: name of the first layer or block that is not part of the trunk; without it the
            trunk ends where the encoder's finer map comes from (`fine_features=True`).

    Returns:
        A functional `keras.Model` from images `(B, H, W, 3)`, 0…255, to the feature map that
        `train_from` reads, or the finer map: `(B, h, w, D)`.

    Raises:
        ValueError: if there is no such block, or it reads other than one feature map.
    """
    (backbone,) = [layer for layer in encoder.layers if isinstance(layer, keras.Model)]
    last = trunk_output(backbone, train_from) if train_from else backbone.output[1]
    early = keras.Model(backbone.input, last, name="trunk")
    # The preprocessing comes before the backbone, in the encoder's own graph.
    nodes = [node for depth in encoder._nodes_by_depth.values() for node in depth]
    (call,) = [node for node in nodes if node.operation is backbone]
    return keras.Model(encoder.input, early(call.input_tensors[0]), name="trunk")
