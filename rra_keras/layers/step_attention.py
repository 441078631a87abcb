"""Refine what was read over several recurrent steps, and weigh the steps."""

import keras
from keras import ops


def attend(states, scores):
    """Weigh `states` over time by the softmax of their `scores`.

    Args:
        states: `(B, T, U)`.
        scores: `(B, T, 1)`.

    Returns:
        The weighted sum `(B, U)` and the weights `(B, T)`, which add up to 1.
    """
    # Keras warns of a softmax over a single step; its weight is 1, and nothing moves it.
    weights = ops.softmax(scores, axis=1) if scores.shape[1] > 1 else ops.exp(0.0 * scores)
    return ops.sum(states * weights, axis=1), ops.squeeze(weights, axis=-1)


@keras.saving.register_keras_serializable("rra_keras")
class StepAttention(keras.layers.Layer):
    """Recur on what was read, and let attention over all steps pick the one that tells.

    1. Feed the vector `(B, D)` to stacked LSTM cells, again at each of `T` steps → hidden states
       `(B, T, U)`.
    2. Score each step with a dense unit, softmax over the steps → weights `(B, T)`.
    3. Sum the states by their weights → `(B, U)`.

    Ten steps of two 512-unit cells are the local stream of Shroff et al., "Focus Longer to See
    Better" (CVPRW 2020). Statically unrolled: the graph holds no loop.

    Args:
        units: width `U` of each LSTM cell.
        steps: steps `T`.
        depth: stacked LSTM cells.
        **kwargs: `keras.layers.Layer`'s own.

    Example:
        refined, states, weights = rra_keras.StepAttention(4, steps=3)(np.ones((2, 8)))

    Call arguments:
        vector: `(B, D)`.

    Output:
        `(aggregate, states, weights)`: `(B, U)`, `(B, T, U)` and `(B, T)`.

    Raises:
        ValueError: if `units`, `steps` or `depth` is below 1, or the input is no `(B, D)`.
    """

    def __init__(self, units, steps, depth=2, **kwargs):
        super().__init__(**kwargs)
        for name, value in (("units", units), ("steps", steps), ("depth", depth)):
            if value < 1:
                raise ValueError(
                    f"Invalid value for argument `{name}`. Expected a positive integer. "
                    f"Received: {name}={value}"
                )
        self.units = units
        self.steps = steps
        self.depth = depth
        self.cells = [
            keras.layers.LSTMCell(units, dtype=self.dtype_policy, name=f"cell_{i}")
            for i in range(depth)
        ]
        self.scorer = keras.layers.Dense(1, dtype=self.dtype_policy, name="scorer")

    def build(self, vector_shape):
        if len(vector_shape) != 2:
            raise ValueError(
                "Invalid value for argument `vector`. Expected a (batch, features) tensor. "
                f"Received shape: {vector_shape}"
            )
        shape = tuple(vector_shape)
        for cell in self.cells:
            cell.build(shape)
            shape = (shape[0], self.units)
        self.scorer.build((shape[0], None, self.units))

    def call(self, vector):
        memories = [cell.get_initial_state(ops.shape(vector)[0]) for cell in self.cells]
        states = []
        for _ in range(self.steps):
            x = vector
            for i, cell in enumerate(self.cells):
                x, memories[i] = cell(x, memories[i])  # (B, U)
            states.append(x)
        states = ops.stack(states, axis=1)  # (B, T, U)
        aggregate, weights = attend(states, self.scorer(states))
        return aggregate, states, weights

    def compute_output_shape(self, vector_shape):
        batch, steps = vector_shape[0], self.steps
        return (batch, self.units), (batch, steps, self.units), (batch, steps)

    def get_config(self):
        return {
            **super().get_config(),
            "units": self.units,
            "steps": self.steps,
            "depth": self.depth,
        }
