"""What all localizers share: a feature map → a box, without box labels."""

import keras


class Localizer(keras.layers.Layer):
    """What every localizer has in common: one call, one output, float32 throughout.

    A localizer of one's own overrides `call`, and `get_config` if it has arguments. For more than
    one fixation it also needs `propose(features, count)`, as `BoxLocalizer` has it.

    Example:
        class CornerLocalizer(rra_keras.layers.Localizer):
            def call(self, features):
                return ops.tile([[0.0, 0.0, 0.5, 0.5]], (ops.shape(features)[0], 1))

        boxes = CornerLocalizer()(features)  # (2, 4)

    Args:
        **kwargs: `keras.layers.Layer`'s own.

    Call arguments:
        features: `(B, h, w, D)`, a feature map of the view.

    Output:
        `(B, 4)` float32 as `y0 x0 y1 x1` in [0, 1] of the view that `features` were computed from.
    """

    def __init__(self, **kwargs):
        kwargs.setdefault("dtype", "float32")  # a box's moments and edges need it
        super().__init__(**kwargs)

    def compute_output_shape(self, features_shape):
        return (features_shape[0], 4)
