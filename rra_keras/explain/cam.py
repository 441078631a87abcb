"""Where the evidence for a class lies in what a look saw."""

import numpy as np
from tf_keras_vis.gradcam import Gradcam


def class_activation(model, look, images, classes):
    """Return Grad-CAM (Selvaraju et al., ICCV 2017) of a look's feature map for given classes.

    Args:
        model: an `RRAClassifier`.
        look: 0 for the whole image, 1 for the first crop, ….
        images: `(B, S, S, 3)`, RGB 0…255.
        classes: `(B,)` integers, the class explained in each image.

    Returns:
        `(B, h, w)` in [0, 1], each image's largest value 1, on the look's own frame.
    """
    scored = model.view("logits")

    def score(outputs):
        (logits,) = outputs if isinstance(outputs, (list, tuple)) else (outputs,)
        return [logits[i, c] for i, c in enumerate(classes)]

    return Gradcam(scored, clone=False)(
        score,
        np.asarray(images, "float32"),
        penultimate_layer=f"look_{look}_features",
        seek_penultimate_conv_layer=False,
        expand_cam=False,
    )
