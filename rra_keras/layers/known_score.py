"""How much a photo is like those of the classes, by its logits and its features."""

import keras
from keras import ops


@keras.saving.register_keras_serializable("rra_keras")
class KnownScore(keras.layers.Layer):
    """The greatest logit, less how far the features lie from all that training photos have.

    1. Residual: the features' distance from the space of few dimensions in which those of training
       photos vary most.
    2. Score: the greatest logit − `scale` · residual. A photo of something else resembles no class,
       or has features that no photo of the classes has: either lowers the score.

    Until it knows that space (`learn`), the score is the greatest logit.

    Args:
        dimensions: K, of that space; at most half of the features'.
        **kwargs: `keras.layers.Layer`'s own.

    Call arguments:
        inputs: `[logits, features]`, `(B, C)` and `(B, D)`.

    Output:
        `(B, 1)` float32, the higher, the more it is like them.

    Raises:
        ValueError: if `dimensions` is not positive.

    Example:
        score = rra_keras.layers.KnownScore()([np.ones((2, 3)), np.ones((2, 8))])  # (2, 1)

    Source: Wang et al., "ViM: Out-of-Distribution with Virtual-logit Matching" (CVPR 2022), with
    the greatest logit in place of the energy.
    """

    def __init__(self, dimensions=64, **kwargs):
        kwargs.setdefault("dtype", "float32")
        super().__init__(**kwargs)
        if dimensions < 1:
            raise ValueError(
                "Invalid value for argument `dimensions`. Expected a positive integer. "
                f"Received: dimensions={dimensions}"
            )
        self.dimensions = dimensions

    def build(self, input_shape):
        width = input_shape[1][-1]
        options = {"initializer": "zeros", "trainable": False}
        self.mean = self.add_weight(shape=(width,), name="mean", **options)
        shape = (min(self.dimensions, max(width // 2, 1)), width)
        self.directions = self.add_weight(shape=shape, name="directions", **options)  # (K, D)
        self.scale = self.add_weight(shape=(), name="scale", **options)

    def learn(self, mean, directions, scale):
        """Take over the space of training photos' features.

        Args:
            mean: `(D,)`.
            directions: `(K, D)`, orthonormal rows; fewer are filled up with zeros.
            scale: of the residual.
        """
        self.mean.assign(mean)
        missing = self.directions.shape[0] - len(directions)
        self.directions.assign(ops.pad(directions, ((0, missing), (0, 0))))
        self.scale.assign(scale)

    def call(self, inputs):
        logits, features = inputs
        centered = features - self.mean  # (B, D)
        # Products and a sum, which stay float32 in an int8 file, where a matrix product does not.
        along = ops.sum(ops.expand_dims(centered, 1) * self.directions, axis=-1)  # (B, K)
        outside = ops.sum(ops.square(centered), axis=-1) - ops.sum(ops.square(along), axis=-1)
        residual = ops.sqrt(ops.relu(outside))  # (B,)
        return ops.max(logits, axis=-1, keepdims=True) - self.scale * residual[:, None]

    def compute_output_shape(self, input_shape):
        return (input_shape[0][0], 1)

    def load_own_variables(self, store):
        if store.keys():  # models saved before have none: the greatest logit it stays
            super().load_own_variables(store)

    def get_config(self):
        return {**super().get_config(), "dimensions": self.dimensions}
