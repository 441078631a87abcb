"""Refine what the looks saw over several recurrent steps, and weigh the steps."""

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
class RecursiveAttention(keras.layers.Layer):
    """Recur on what each look saw, and let attention over all steps pick what tells.

    1. Feed each look's vector `(B, D)` to stacked LSTM cells for `steps` steps, the state going on
       from look to look → hidden states `(B, T, U)`, `T = looks · steps`.
    2. Score each step with a dense unit, softmax over the `T` steps → weights `(B, T)`.
    3. Sum the states by their weights → `(B, U)`.

    One look and ten steps of two 512-unit cells is the local stream of Shroff et al., "Focus
    Longer to See Better" (CVPRW 2020). Statically unrolled: the graph holds no loop.

    Args:
        units: width `U` of each LSTM cell.
        steps: steps for each look.
        depth: stacked LSTM cells.
        **kwargs: `keras.layers.Layer`'s own.

    Example:
        first, second = np.ones((2, 8)), np.zeros((2, 8))
        refined, states, weights = rra_keras.RecursiveAttention(4, steps=3)([first, second])

    Call arguments:
        vectors: a list of one `(B, D)` tensor for each look, or one `(B, D)` tensor.

    Output:
        `(aggregate, states, weights)`: `(B, U)`, `(B, T, U)` and `(B, T)`.

    Raises:
        ValueError: if `units`, `steps` or `depth` is below 1, or the looks' shapes differ.
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

    def build(self, input_shape):
        shapes = {tuple(shape) for shape in _as_list(input_shape)}
        if len(shapes) != 1 or len(shape := shapes.pop()) != 2:
            raise ValueError(
                "Invalid value for argument `vectors`. Expected one (batch, features) tensor for "
                f"each look, all of one shape. Received shapes: {input_shape}"
            )
        for cell in self.cells:
            cell.build(shape)
            shape = (shape[0], self.units)
        self.scorer.build((shape[0], None, self.units))

    def call(self, vectors):
        vectors = vectors if isinstance(vectors, (list, tuple)) else [vectors]
        memories = [cell.get_initial_state(ops.shape(vectors[0])[0]) for cell in self.cells]
        states = []
        for vector in vectors:  # (B, D)
            for _ in range(self.steps):
                x = vector
                for i, cell in enumerate(self.cells):
                    x, memories[i] = cell(x, memories[i])  # (B, U)
                states.append(x)
        states = ops.stack(states, axis=1)  # (B, T, U)
        aggregate, weights = attend(states, self.scorer(states))
        return aggregate, states, weights

    def compute_output_shape(self, input_shape):
        shapes = _as_list(input_shape)
        batch, total = shapes[0][0], len(shapes) * self.steps
        return (batch, self.units), (batch, total, self.units), (batch, total)

    def get_config(self):
        return {
            **super().get_config(),
            "units": self.units,
            "steps": self.steps,
            "depth": self.depth,
        }


def _as_list(input_shape):
    """Return the looks' shapes: a single look's shape, wrapped, or the list as it is."""
    return input_shape if isinstance(input_shape[0], (list, tuple)) else [input_shape]
