"""From RGB 0…255 to what each pretrained network was trained on."""

from keras import layers, ops


def preprocess_input(x, mode):
    """Preprocess an image inside the graph, `(B, H, W, 3)` → `(B, H, W, 3)`.

    Made of ops that TFLite has builtins for and that GPU delegates take.

    Args:
        x: Keras tensor, RGB 0…255.
        mode: "lite": `(x − 127) / 128`; "tf": `x / 127.5 − 1`; "torch": `(x / 255 − mean) / std`
            of ImageNet; "caffe": BGR minus the means of ImageNet; None: `x` as it is.

    Returns:
        Keras tensor of the same shape.
    """
    if mode == "lite":
        return layers.Rescaling(1 / 128, -127 / 128, name="preprocess")(x)
    if mode == "tf":
        return layers.Rescaling(1 / 127.5, -1.0, name="preprocess")(x)
    if mode == "torch":
        mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
        scale = [1 / (255 * s) for s in std]
        offset = [-m / s for m, s in zip(mean, std, strict=True)]
        return layers.Rescaling(scale, offset, name="preprocess")(x)
    if mode == "caffe":
        # Split and concatenate: GPU delegates take no reversing slice.
        red, green, blue = ops.split(x, 3, axis=-1)
        x = ops.concatenate([blue, green, red], axis=-1)
        return layers.Rescaling(1.0, [-103.939, -116.779, -123.68], name="preprocess")(x)
    return x
