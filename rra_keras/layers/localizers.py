"""Where to look next: a feature map and its class scores → a box, without box labels."""

import keras
from keras import ops

from rra_keras.layers.boxes import moment_box, sides


def class_activation_map(scores):
    """Return the evidence at each position for the classes that the whole map believes in.

    The class scores at each position are weighted by the softmax of their mean over positions,
    i.e. of the logits: a class-activation map (Zhou et al., CVPR 2016) of the soft prediction. One
    matrix product, with no argmax to flip on a near-tie.

    Args:
        scores: `(B, h, w, C)`, class scores at each position.

    Returns:
        `(B, h, w)`.
    """
    height, width, classes = scores.shape[1:]
    probabilities = ops.softmax(ops.mean(scores, axis=(1, 2)))  # (B, C)
    evidence = ops.matmul(
        ops.reshape(scores, (-1, height * width, classes)), ops.expand_dims(probabilities, -1)
    )  # (B, h·w, 1)
    return ops.reshape(evidence, (-1, height, width))


def activation_map(features, fine_features):
    """Return how strongly each position responds, at two depths of the network at once.

    An object excites a pretrained backbone more than what is behind it, whatever its class (SCDA:
    Wei et al., "Selective Convolutional Descriptor Aggregation for Fine-Grained Image Retrieval",
    IEEE TIP 2017). The last map knows objects best but is coarse; a finer one has sharper edges.

    1. A position's response: the root mean square of its features, above the map's mean.
    2. The geometric mean of both maps' responses, the coarse one resized to the finer one's size.

    Args:
        features: `(B, h, w, D)`.
        fine_features: `(B, H, W, D')`.

    Returns:
        `(B, H, W)`.
    """
    coarse = ops.expand_dims(_response(features), -1)  # (B, h, w, 1)
    coarse = ops.squeeze(ops.image.resize(coarse, fine_features.shape[1:3]), -1)  # (B, H, W)
    return ops.sqrt(coarse * _response(fine_features) + 1e-8)  # the root's slope stays finite at 0


def _response(features):
    strength = ops.sqrt(ops.mean(ops.square(features), axis=-1) + 1e-8)  # (B, h, w)
    return ops.relu(strength - ops.mean(strength, axis=(1, 2), keepdims=True))


@keras.saving.register_keras_serializable("rra_keras")
class CamLocalizer(keras.layers.Layer):
    """Box the class-activation map: learned from image-level labels alone.

    1. `scores` `(B, h, w, C)` → soft class-activation map `(B, h, w)` (`class_activation_map`).
    2. Map → box `(B, 4)` from its moments (`moment_box`). No randomness.

    The spread is wider than √3, which covers an even map exactly: evidence ends before the part
    that tells does.

    Args:
        spread: half a side in standard deviations of the map.
        min_size: smallest longer side, as a fraction of the image's.
        max_size: largest longer side.
        aspect: the box's width by its height, as fractions of the image's.
        **kwargs: `keras.layers.Layer`'s own.

    Call arguments:
        features: `(B, h, w, D)`; not used, for localizers that need them.
        scores: `(B, h, w, C)`, class scores at each position.

    Output:
        `(B, 4)` float32 as `y0 x0 y1 x1` in [0, 1] of the view that `features` were computed from.

    Raises:
        ValueError: unless `0 < min_size <= max_size <= 1`, `spread > 0` and `aspect > 0`.
    """

    def __init__(self, spread=1.95, min_size=0.3, max_size=0.75, aspect=1.0, **kwargs):
        kwargs.setdefault("dtype", "float32")  # a box's moments and edges need it
        super().__init__(**kwargs)
        if not (0 < min_size <= max_size <= 1 and spread > 0):
            raise ValueError(
                "Invalid value for `spread`, `min_size` or `max_size`. Expected spread > 0 and "
                f"0 < min_size <= max_size <= 1. Received: spread={spread}, min_size={min_size}, "
                f"max_size={max_size}"
            )
        _check_aspect(aspect)
        self.spread = spread
        self.min_size = min_size
        self.max_size = max_size
        self.aspect = aspect

    def call(self, features, scores):
        activation = class_activation_map(scores)
        return moment_box(activation, self.spread, self.min_size, self.max_size, self.aspect)

    def compute_output_shape(self, features_shape, scores_shape):
        return (features_shape[0], 4)

    def get_config(self):
        return {
            **super().get_config(),
            "spread": self.spread,
            "min_size": self.min_size,
            "max_size": self.max_size,
            "aspect": self.aspect,
        }


@keras.saving.register_keras_serializable("rra_keras")
class ActivationLocalizer(CamLocalizer):
    """Box what excites the backbone: the object, whatever its class.

    1. `features` `(B, h, w, D)` and `fine_features` `(B, H, W, D')` → activation map `(B, H, W)`
       (`activation_map`).
    2. Map → box `(B, 4)` from its moments (`moment_box`). No randomness.

    Arguments as `CamLocalizer`'s, and so are its output and the errors that it raises. The spread
    is wider by default: a map is strongest inside the object and ends before it does.

    Call arguments:
        features: `(B, h, w, D)`.
        scores: not used.
        fine_features: `(B, H, W, D')`, features of higher resolution; `features` unless given.
    """

    def __init__(self, spread=2.25, min_size=0.3, max_size=0.9, aspect=1.0, **kwargs):
        super().__init__(spread, min_size, max_size, aspect, **kwargs)

    def call(self, features, scores=None, fine_features=None):
        activation = activation_map(features, features if fine_features is None else fine_features)
        return moment_box(activation, self.spread, self.min_size, self.max_size, self.aspect)

    def compute_output_shape(self, features_shape, scores_shape=None, fine_features_shape=None):
        return (features_shape[0], 4)


@keras.saving.register_keras_serializable("rra_keras")
class CenterLocalizer(keras.layers.Layer):
    """Always look at the middle: what a localizer has to beat.

    Args:
        size: the box's longer side, as a fraction of the image's.
        aspect: the box's width by its height, as fractions of the image's.
        **kwargs: `keras.layers.Layer`'s own.

    Call arguments:
        features: `(B, h, w, D)`, for the batch size only.
        scores: not used.

    Output:
        `(B, 4)` float32 as `y0 x0 y1 x1` in [0, 1].

    Raises:
        ValueError: unless `0 < size <= 1` and `aspect > 0`.
    """

    def __init__(self, size=0.5, aspect=1.0, **kwargs):
        kwargs.setdefault("dtype", "float32")
        super().__init__(**kwargs)
        if not 0 < size <= 1:
            raise ValueError(
                f"Invalid value for argument `size`. Expected 0 < size <= 1. Received: size={size}"
            )
        _check_aspect(aspect)
        self.size = size
        self.aspect = aspect

    def call(self, features, scores=None):
        half_y, half_x = (self.size * side / 2 for side in sides(self.aspect))
        batch = ops.zeros_like(ops.mean(features, axis=(1, 2, 3)), dtype="float32")  # (B,)
        box = [[0.5 - half_y, 0.5 - half_x, 0.5 + half_y, 0.5 + half_x]]
        box = ops.convert_to_tensor(box, dtype="float32")
        return ops.expand_dims(batch, -1) + box  # (B, 4)

    def compute_output_shape(self, features_shape, scores_shape=None):
        return (features_shape[0], 4)

    def get_config(self):
        return {**super().get_config(), "size": self.size, "aspect": self.aspect}


def _check_aspect(aspect):
    if not aspect > 0:
        raise ValueError(
            f"Invalid value for argument `aspect`. Expected above 0. Received: aspect={aspect}"
        )


@keras.saving.register_keras_serializable("rra_keras")
class RandomLocalizer(CenterLocalizer):
    """Look anywhere, anew at each call: what a localizer has to beat.

    Arguments as `CenterLocalizer`'s, and so are its call and its output.

    Args:
        seed: of the boxes; drawn unless given.
    """

    def __init__(self, size=0.5, aspect=1.0, seed=None, **kwargs):
        super().__init__(size, aspect, **kwargs)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, features, scores=None):
        shares = ops.convert_to_tensor([[self.size * side for side in sides(self.aspect)]])
        shape = (ops.shape(features)[0], 2)
        corner = keras.random.uniform(shape, dtype="float32", seed=self.seed_generator)
        corner = corner * (1.0 - shares)  # (B, 2)
        return ops.concatenate([corner, corner + shares], axis=-1)

    def get_config(self):
        return {**super().get_config(), "seed": self.seed}


LOCALIZERS = {
    "activation": ActivationLocalizer,
    "cam": CamLocalizer,
    "center": CenterLocalizer,
    "random": RandomLocalizer,
}
