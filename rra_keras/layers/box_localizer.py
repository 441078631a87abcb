"""A box out of a feature map, by a small head that learns from boxes."""

import keras
from keras import ops

from rra_keras.layers.boxes import box_from_center
from rra_keras.layers.localizer import Localizer


@keras.saving.register_keras_serializable("rra_keras")
class BoxLocalizer(Localizer):
    """Box the object that a feature map shows, having learned from boxes what it looks like.

    1. `features` `(B, h, w, D)` → 3×3 convolution of `filters[0]`, stride 2, ReLU6 → 3×3
       convolution of `filters[1]`, ReLU6.
    2. All positions in one vector → `units`, ReLU6: where a thing is, pooling would forget.
    3. Four numbers, sigmoid → the box's center and its height and width → edges, `(B, 4)`.

    The last layer starts at 0: before any training the box is in the image's middle and half as
    high and wide. Started at a degenerate box it does not learn.

    One head serves every view, the whole image and a look inside it: see `fit_localizer`.

    Args:
        filters: channels of the two convolutions.
        units: width of the dense layer.
        **kwargs: `keras.layers.Layer`'s own.

    Example:
        localizer = rra_keras.BoxLocalizer()
        boxes = localizer(np.ones((2, 8, 8, 112)))  # (2, 4): half of the middle, until it learns

    Call and output as `Localizer`'s, but that `features` are those of the encoder's trunk, `h` and
    `w` always the same, and that a box may reach beyond [0, 1]: clip it where it is cropped.

    Raises:
        ValueError: unless `filters` are two positive integers and `units` is positive.

    Source: Zhang et al., "Rethinking the Route Towards Weakly Supervised Object Localization"
    (CVPR 2020), PSOL: a class-agnostic regressor of boxes found by co-localization.
    """

    def __init__(self, filters=(96, 64), units=128, **kwargs):
        super().__init__(**kwargs)
        if len(filters) != 2 or min(*filters, units) < 1:
            raise ValueError(
                "Invalid value for argument `filters` or `units`. Expected two positive integers "
                f"and a positive one. Received: filters={filters}, units={units}"
            )
        self.filters = tuple(filters)
        self.units = units
        first, second = self.filters
        options = {"activation": "relu6", "dtype": self.dtype_policy}
        self.first = keras.layers.Conv2D(first, 3, 2, "same", name="first", **options)
        self.second = keras.layers.Conv2D(second, 3, padding="same", name="second", **options)
        self.flatten = keras.layers.Flatten(name="flatten")
        self.hidden = keras.layers.Dense(units, name="hidden", **options)
        options["activation"] = "sigmoid"
        self.box = keras.layers.Dense(4, kernel_initializer="zeros", name="box", **options)

    def build(self, features_shape, scores_shape=None, fine_features_shape=None):
        shape = features_shape
        for layer in (self.first, self.second, self.flatten, self.hidden, self.box):
            layer.build(shape)
            shape = layer.compute_output_shape(shape)

    def call(self, features, scores=None, fine_features=None):
        x = self.second(self.first(features))  # (B, h / 2, w / 2, filters[1])
        numbers = self.box(self.hidden(self.flatten(x)))  # (B, 4) in (0, 1)
        center, size = ops.split(numbers, 2, axis=-1)
        return box_from_center(center, size)

    @property
    def learned(self):
        """Whether it knows where objects are: as it starts, its box is the same for every view."""
        if not self.box.built:
            return False
        return any(ops.any(ops.not_equal(variable, 0)) for variable in self.box.weights)

    def show_whole(self):
        """Give the whole view as the box from now on, to within 1e-4: there is no one object."""
        self.box.kernel.assign(ops.zeros(self.box.kernel.shape))
        self.box.bias.assign([0.0, 0.0, 10.0, 10.0])  # center and size, through a sigmoid

    def get_config(self):
        return {**super().get_config(), "filters": self.filters, "units": self.units}
