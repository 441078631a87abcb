"""Crop a box out of an image and resize it, differentiable in both."""

import math
import operator

import keras
import numpy as np
from keras import ops

METHODS = ("auto", "tf_image", "gather")
STRIDE = 4  # pixels between samples, beyond which fine detail aliases too much

# Boxes are drawn toward the image's center by two millionths. The last sample of one that ends at
# the border would otherwise round to just past the last pixel at common sizes (448 → 224), which
# counts as outside.
_DRAW_IN = 2e-6


def resolve_method(method):
    """Return the crop method that `"auto"` stands for under the current Keras backend."""
    if method not in METHODS:
        raise ValueError(
            f"Invalid value for argument `method`. Expected one of {METHODS}. "
            f"Received: method={method!r}"
        )
    on_tensorflow = keras.config.backend() == "tensorflow"
    if method == "tf_image" and not on_tensorflow:
        raise ValueError(
            "Invalid value for argument `method`. 'tf_image' needs the TensorFlow backend; use "
            f"'gather' under {keras.config.backend()!r}. Received: method='tf_image'"
        )
    if method == "auto":
        return "tf_image" if on_tensorflow else "gather"
    return method


def zoom_crop(images, boxes, size, method="auto", stride=None):
    """Crop `images` by `boxes` and resize the crops to `size`, bilinearly.

    Crop row `i` of `h` samples image row `y0·(H−1) + i·(y1−y0)·(H−1)/(h−1)`, so the box's edges
    fall on pixel centers (for `h = 1`, the box's middle row). Samples outside the image are 0. A
    box with `y1 < y0` flips the crop.

    With `stride`, an image so large that samples of the whole of it would be more than so many
    pixels apart is sampled more densely, and groups of samples are averaged: large photos then
    alias no more than small ones, at a cost that does not grow with them. The dense samples are
    those of a crop of so many times the `size`.

    Args:
        images: `(B, H, W, C)`, any range.
        boxes: `(B, 4)` as `y0 x0 y1 x1`, normalized so that 0 is the center of the first pixel and
            1 that of the last. Always computed in float32.
        size: `(h, w)` of the crops in pixels.
        method: `"tf_image"` (`tf.image.crop_and_resize`, the fastest under TensorFlow),
            `"gather"` (rows picked and mixed, then columns: XLA, JAX, TFLite builtins) or `"auto"`.
        stride: most pixels between two samples, or `None` for any number.

    Returns:
        `(B, h, w, C)`, in the dtype of `images` (float32 for integers).

    Raises:
        ValueError: if `method` is unknown or cannot run under the current backend.
    """
    boxes = ops.cast(boxes, "float32")
    boxes = boxes + (0.5 - boxes) * _DRAW_IN
    crop = _crop_tf_image if resolve_method(method) == "tf_image" else _crop_gather
    times = oversampling(images.shape[1:3], size, stride)
    dense = tuple(length * n for length, n in zip(size, times, strict=True))
    crops = crop(images, boxes, dense)
    return crops if dense == tuple(size) else average(crops, times)


def oversampling(shape, size, stride):
    """Return how many samples are averaged for a pixel of a crop, along each axis.

    Args:
        shape: `(H, W)` of the image.
        size: `(h, w)` of the crops.
        stride: most pixels between two samples of the whole image, or `None`.

    Returns:
        A pair of integers; 1 where a size is not known beforehand, `None`.
    """
    if stride is None or None in shape:
        return (1, 1)
    apart = ((side - 1) / length for side, length in zip(shape, size, strict=True))
    return tuple(max(1, math.ceil(pixels / stride)) for pixels in apart)


def average(images, factors):
    """Average rectangles of pixels.

    Args:
        images: `(B, H, W, C)`.
        factors: pixels of a rectangle along each axis; they divide H and W.

    Returns:
        `(B, H / factors[0], W / factors[1], C)`.
    """
    height, width, channels = images.shape[1:]
    rows, columns = height // factors[0], width // factors[1]
    # Whole rows first, then columns: twenty times as fast as a pooling layer over three channels.
    x = ops.mean(ops.reshape(images, (-1, rows, factors[0], width * channels)), axis=2)
    x = ops.mean(ops.reshape(x, (-1, rows * columns, factors[1], channels)), axis=2)
    return ops.reshape(x, (-1, rows, columns, channels))


def shrink(images, size):
    """Shrink square images `(B, S, S, C)` to `(B, size, size, C)`.

    Whole pixels are averaged, then what is left is resized bilinearly. What both take is made of
    ops that GPU delegates know; antialiased resizing is not.
    """
    side = images.shape[1]
    factor = max(f for f in range(1, max(side // size, 1) + 1) if side % f == 0)
    if factor > 1:
        images = average(images, (factor, factor))
    if side // factor != size:
        images = ops.image.resize(images, (size, size), data_format="channels_last")
    return images


def _is_float(images):
    return "float" in keras.backend.standardize_dtype(images.dtype)


def _crop_tf_image(images, boxes, size):
    import tensorflow as tf

    images = tf.convert_to_tensor(images)
    dtype = images.dtype if _is_float(images) else tf.float32
    if dtype == tf.bfloat16:  # its kernel knows every other float, and integers
        images = tf.cast(images, tf.float32)
    # A box that is not finite stops the kernel; let its crop be NaN, so that the loss tells.
    finite = tf.reshape(tf.reduce_all(tf.math.is_finite(boxes), axis=-1), (-1, 1))
    boxes = tf.where(finite, boxes, 0.0)
    indices = tf.range(tf.shape(images)[0])
    crops = tf.image.crop_and_resize(images, boxes, indices, size)  # (B, h, w, C) float32
    crops = tf.where(tf.reshape(finite, (-1, 1, 1, 1)), crops, float("nan"))
    return tf.cast(crops, dtype)


def _crop_gather(images, boxes, size):
    y0, x0, y1, x1 = ops.split(boxes, 4, axis=-1)  # (B, 1) each
    height, width, channels = ops.shape(images)[1:]
    x = _sample(ops.reshape(images, (-1, height, width * channels)), y0, y1, size[0])
    x = ops.transpose(ops.reshape(x, (-1, size[0], width, channels)), (0, 2, 1, 3))
    x = _sample(ops.reshape(x, (-1, width, size[0] * channels)), x0, x1, size[1])
    x = ops.reshape(x, (-1, size[1], size[0], channels))
    return ops.transpose(x, (0, 2, 1, 3))  # (B, h, w, C)


def _sample(lines, start, end, length):
    """Sample `length` lines out of `lines` `(B, N, K)`, from `start` to `end` `(B, 1)`, linearly.

    Lines are picked by one index over the whole batch: GPU delegates take no other gather.
    """
    batch, size, width = ops.shape(lines)
    last = ops.cast(size - 1, "float32")
    if length > 1:
        steps = ops.arange(length, dtype="float32")
        positions = start * last + steps * ((end - start) * last / (length - 1))  # (B, length)
    else:
        positions = 0.5 * (start + end) * last
    inside = ops.logical_and(positions >= 0.0, positions <= last)  # false for NaN
    reached = ops.where(inside, positions, 0.0)
    floor = ops.floor(ops.minimum(reached, ops.maximum(last - 1.0, 0.0)))
    first = ops.cast(floor, "int32") + size * ops.expand_dims(ops.arange(batch, dtype="int32"), 1)
    first = ops.reshape(first, (-1,))  # (B · length,)
    flat = ops.reshape(lines, (-1, width))  # (B · N, K)
    above = ops.reshape(ops.take(flat, first, axis=0), (-1, length, width))
    next_one = first + ops.minimum(size - 1, 1)
    below = ops.reshape(ops.take(flat, next_one, axis=0), (-1, length, width))
    dtype = lines.dtype if _is_float(lines) else "float32"  # all lines of a photo would be many
    above, below = ops.cast(above, dtype), ops.cast(below, dtype)
    share = ops.cast(ops.expand_dims(positions - floor, -1), dtype)  # (B, length, 1)
    inside = ops.cast(ops.expand_dims(inside, -1), dtype)
    return ((1.0 - share) * above + share * below) * inside


def as_pair(size, name="size"):
    """Return `(height, width)`, Python integers, of a size in pixels: a side, or a pair.

    Args:
        size: a positive integer of any kind, or two of them.
        name: the argument's name, for the error.

    Raises:
        ValueError: if `size` is neither.
    """
    try:
        pair = [operator.index(side) for side in (size if np.ndim(size) else (size, size))]
    except TypeError:
        pair = []
    if len(pair) != 2 or min(pair) < 1:
        raise ValueError(
            f"Invalid value for argument `{name}`. Expected a positive number of pixels, or a pair "
            f"`(height, width)` of them. Received: {name}={size!r}"
        )
    return tuple(pair)


@keras.saving.register_keras_serializable("rra_keras")
class ZoomCrop(keras.layers.Layer):
    """Crop each image by its box and resize the crop, differentiable in both.

    1. Take `images` `(B, H, W, C)` and `boxes` `(B, 4)` (`y0 x0 y1 x1`, in [0, 1]), or K of them
       for each image, `(B, K, 4)`.
    2. Sample each box on an even grid of `size` points, bilinearly → `(B, h, w, C)`, or
       `(K · B, h, w, C)`: the first crop of every image, then the second of every image.

    Args:
        size: pixels of the crop, an int or `(h, w)`.
        method: `"tf_image"`, `"gather"` or `"auto"` (see `zoom_crop`). The two agree to float32
            rounding; `"tf_image"` has no XLA kernel and no TFLite builtin, `"gather"` runs
            everywhere.
        stride: most pixels between two samples of the whole image; larger images are sampled more
            densely and averaged. `None` for any number.
        **kwargs: `keras.layers.Layer`'s own.

    Call arguments:
        inputs: `[images, boxes]`.

    Example:
        boxes = np.array([[0.2, 0.2, 0.7, 0.7], [0.0, 0.5, 0.5, 1.0]])
        crops = rra_keras.ZoomCrop(32)([images[:2], boxes])  # (2, 32, 32, 3)

    Output:
        `(B, h, w, C)`, or `(K · B, h, w, C)`, in the layer's compute dtype.

    Raises:
        ValueError: if `size` or `stride` is not positive or `method` is unknown.
    """

    def __init__(self, size, method="auto", stride=STRIDE, **kwargs):
        # Half-precision boxes would move the crop by up to a pixel: inputs are cast in `call`.
        super().__init__(autocast=False, **kwargs)
        self.size = as_pair(size)
        if stride is not None and not stride > 0:
            raise ValueError(
                "Invalid value for argument `stride`. Expected a positive number of pixels or "
                f"None. Received: stride={stride}"
            )
        self.method = method
        self.stride = stride
        self.supports_jit = resolve_method(method) != "tf_image"

    def call(self, inputs):
        images, boxes = inputs
        if _is_float(images):  # of integers, only what is sampled is to be
            images = ops.cast(images, self.compute_dtype)
        places = [boxes]
        if len(boxes.shape) == 3:
            places = [ops.reshape(box, (-1, 4)) for box in ops.split(boxes, boxes.shape[1], axis=1)]
        crops = [zoom_crop(images, box, self.size, self.method, self.stride) for box in places]
        crops = ops.concatenate(crops, axis=0) if len(crops) > 1 else crops[0]
        return ops.cast(crops, self.compute_dtype)

    def compute_output_shape(self, input_shape):
        images_shape, boxes_shape = input_shape
        # How many boxes there are may differ between training and use.
        batch = images_shape[0] if len(boxes_shape) == 2 else None
        return (batch, *self.size, images_shape[-1])

    def get_config(self):
        own = {"size": self.size, "method": self.method, "stride": self.stride}
        return {**super().get_config(), **own}
