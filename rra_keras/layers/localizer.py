"""What all localizers share: a feature map and its class scores → a box, without box labels."""

import keras


class Localizer(keras.layers.Layer):
    """What every localizer has in common: one call, one output, float32 throughout.

    A localizer of one's own overrides `call`, and `get_config` if it has arguments.

    Example:
        class CornerLocalizer(rra_keras.layers.Localizer):
            def call(self, features, scores=None, fine_features=None):
                return ops.tile([[0.0, 0.0, 0.5, 0.5]], (ops.shape(features)[0], 1))

        boxes = CornerLocalizer()(features)  # (2, 4)

    Args:
        **kwargs: `keras.layers.Layer`'s own.

    Call arguments:
        features: `(B, h, w, D)`, the encoder's feature map of the view.
        scores: `(B, h, w, C)`, class scores at each position.
        fine_features: `(B, H, W, D')`, the encoder's feature map of higher resolution.

    Output:
        `(B, 4)` float32 as `y0 x0 y1 x1` in [0, 1] of the view that `features` were computed from.
    """

    def __init__(self, **kwargs):
        kwargs.setdefault("dtype", "float32")  # a box's moments and edges need it
        super().__init__(**kwargs)

    def inside(self, name):
        """Return the localizer of a look inside this one's."""
        return type(self).from_config({**self.get_config(), "name": name})

    def compute_output_shape(self, features_shape, scores_shape=None, fine_features_shape=None):
        return (features_shape[0], 4)


class ShapedLocalizer(Localizer):
    """Boxes of one shape: the patch's, so that nothing is distorted.

    Args:
        aspect: the box's width by its height, as fractions of the image's.
        **kwargs: `keras.layers.Layer`'s own.

    Raises:
        ValueError: unless `aspect > 0`.
    """

    def __init__(self, aspect=1.0, **kwargs):
        super().__init__(**kwargs)
        if not aspect > 0:
            raise ValueError(
                f"Invalid value for argument `aspect`. Expected above 0. Received: aspect={aspect}"
            )
        self.aspect = aspect

    def inside(self, name):
        """Return the localizer of a look inside this one's.

        A crop has its box's aspect already: inside it, an even box keeps it.
        """
        return type(self).from_config({**self.get_config(), "aspect": 1.0, "name": name})

    def get_config(self):
        return {**super().get_config(), "aspect": self.aspect}
