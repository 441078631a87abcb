"""Where the evidence for a class lies in a feature map: Grad-CAM by tf-keras-vis."""

import keras
import numpy as np
from tf_keras_vis.gradcam import Gradcam
from tf_keras_vis.gradcam_plus_plus import GradcamPlusPlus

METHODS = {"gradcam": Gradcam, "gradcam++": GradcamPlusPlus}


class ClassActivation:
    """Grad-CAM (Selvaraju et al., ICCV 2017) of a feature map for an output of a model.

    The model is cut at the feature map, and only what lies above it is differentiated: the pooling,
    the recurrence, the dense layers. Any number of scores costs one pass of the backbone.

    Args:
        model: a classifier of this package.
        features: name of the feature map, e.g. `"features"`.
        output: name of what holds the scores, `(B, C)` or `(B, T, C)`; `"part_logits"` for what the
            classifier says of the feature map by itself.
        method: `"gradcam"` or `"gradcam++"` (Chattopadhay et al., WACV 2018).

    Raises:
        ValueError: if `method` is unknown.
    """

    def __init__(self, model, features, output, method="gradcam"):
        if method not in METHODS:
            raise ValueError(
                f"Invalid value for argument `method`. Expected one of {sorted(METHODS)}. "
                f"Received: method={method!r}"
            )
        if output == "part_logits":
            tensor = model.view(features).output[features]
            head = keras.Model(tensor, model.classifier(model.pool(tensor)))
        else:
            tensors = model.view(output, features).output
            head = keras.Model(tensors[features], tensors[output])
        # Cutting gives the feature map an input layer with a name of its own.
        self._layer = next(layer for layer in head.layers if layer.output is head.inputs[0])
        self._visualize = METHODS[method](head)

    def __call__(self, features, classes, step=None):
        """Return the evidence for `classes` in the feature map.

        Args:
            features: `(B, h, w, D)`.
            classes: `(B,)` integers, the class explained in each row.
            step: the step whose score is explained, where the output has steps.

        Returns:
            `(B, h, w)`, not negative. With Grad-CAM in units of the score: the mean of a map is
            what its positive places add to the score, to first order, after an average pooling. So
            maps compare with one another, whatever their grids.
        """

        def score(scores):
            rows = scores if step is None else scores[:, step]
            return [rows[i, c] for i, c in enumerate(classes)]

        maps = self._visualize(
            score,
            [np.asarray(features, "float32")],
            penultimate_layer=self._layer,
            seek_penultimate_conv_layer=False,
            expand_cam=False,
            normalize_cam=False,
        )
        maps = np.asarray(maps, "float32")
        return maps * (maps.shape[1] * maps.shape[2])  # per part instead of per cell
