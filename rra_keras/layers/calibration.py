"""What logits mean: how sure an answer is, and whether the photo is of any class at all."""

import keras
from keras import ops

NONE = -1e9  # a score that every photo reaches


@keras.saving.register_keras_serializable("rra_keras")
class Calibration(keras.layers.Layer):
    """Score how much a photo is like those of the classes, and keep what logits are divided by.

    1. Residual: the features' distance from the space of few dimensions in which those of training
       photos vary most.
    2. Score: the largest logit − `scale` · residual. A photo of something else resembles no class,
       or has features that no photo of the classes has: either lowers the score.

    Until it knows that space (`learn`), the score is the largest logit. The numbers by which a
    score and logits become an answer, `known_from` and `temperature`, are weights too: they are
    saved and exported with the model. Logits stay as they are.

    Args:
        dimensions: K, of that space; at most half of the features'.
        answer: `"one"` of the classes; or `"any"` number of them, and a threshold for each, from
            which on it is said.
        **kwargs: `keras.layers.Layer`'s own.

    Call arguments:
        inputs: `[logits, features]`, `(B, C)` and `(B, D)`.

    Output:
        `(B, 1)` float32, the higher, the more it is like them.

    Raises:
        ValueError: if `dimensions` is not positive.

    Example:
        score = rra_keras.layers.Calibration()([np.ones((2, 3)), np.ones((2, 8))])  # (2, 1)

    Source: Wang et al., "ViM: Out-of-Distribution with Virtual-logit Matching" (CVPR 2022), with
    the largest logit in place of the energy.
    """

    def __init__(self, dimensions=64, answer="one", **kwargs):
        kwargs.setdefault("dtype", "float32")
        super().__init__(**kwargs)
        if dimensions < 1:
            raise ValueError(
                "Invalid value for argument `dimensions`. Expected a positive integer. "
                f"Received: dimensions={dimensions}"
            )
        self.dimensions = dimensions
        self.answer = answer

    def build(self, input_shape):
        width = input_shape[1][-1]
        shape = (min(self.dimensions, max(width // 2, 1)), width)
        self.mean = self._weight("mean", (width,))
        self.directions = self._weight("directions", shape)  # (K, D)
        self.scale = self._weight("scale", ())
        self._temperature = self._weight("temperature", (), 1.0)
        self._known_from = self._weight("known_from", (), NONE)
        if self.answer == "any":
            self._thresholds = self._weight("thresholds", (input_shape[0][-1],), 0.5)

    def _weight(self, name, shape, value=0.0):
        initializer = keras.initializers.Constant(value)
        return self.add_weight(shape=shape, initializer=initializer, trainable=False, name=name)

    @property
    def temperature(self):
        """T, above 0: probabilities are softmax(logits / T). 1 unless fitted."""
        return float(self._temperature)

    @temperature.setter
    def temperature(self, value):
        if not 0 < value < float("inf"):
            raise ValueError(
                "Invalid value for argument `temperature`. Expected a finite number above 0. "
                f"Received: temperature={value!r}"
            )
        self._temperature.assign(value)

    @property
    def known_from(self):
        """The least score of a photo of any of the classes; `None` where every photo is."""
        value = float(self._known_from)
        return None if value <= NONE else value

    @known_from.setter
    def known_from(self, value):
        if value is not None and not abs(value) < -NONE:
            raise ValueError(
                "Invalid value for argument `known_from`. Expected a finite number or None. "
                f"Received: known_from={value!r}"
            )
        self._known_from.assign(NONE if value is None else value)

    @property
    def thresholds(self):
        """Of `answer="any"`: the probability from which on each class is said, `(C,)`."""
        return ops.convert_to_numpy(self._thresholds)

    @thresholds.setter
    def thresholds(self, values):
        self._thresholds.assign(values)

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

    def get_config(self):
        own = {"dimensions": self.dimensions, "answer": self.answer}
        return {**super().get_config(), **own}
