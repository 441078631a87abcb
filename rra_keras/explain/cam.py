"""Where the evidence for a class lies in a feature map: Grad-CAM by tf-keras-vis."""

import keras
import numpy as np
from tf_keras_vis.gradcam import Gradcam
from tf_keras_vis.gradcam_plus_plus import GradcamPlusPlus

METHODS = {"gradcam": Gradcam, "gradcam++": GradcamPlusPlus}


class ClassActivation:
    """Grad-CAM (Selvaraju et al., ICCV 2017) of named feature maps for an output of a model.

    The model is cut at the feature maps, and only what lies above them is differentiated: the
    pooling, the recurrence, the dense layers. Any number of scores costs one pass of the backbone.
    What lies above is the same function of the feature maps as in the whole model, boxes held.

    Args:
        model: an `RRAClassifier`.
        features: names of feature maps, e.g. `["look_1_features"]`.
        output: name of the output that holds the scores: `(B, C)`, or `(B, T, C)`.
        held: names of what else the output is made of, such as boxes; held as it is.
        method: `"gradcam"` or `"gradcam++"` (Chattopadhay et al., WACV 2018).

    Raises:
        ValueError: if `method` is unknown.
    """

    def __init__(self, model, features, output, method="gradcam", held=()):
        if method not in METHODS:
            raise ValueError(
                f"Invalid value for argument `method`. Expected one of {sorted(METHODS)}. "
                f"Received: method={method!r}"
            )
        self._features, self._inputs = list(features), [*features, *held]
        tensors = model.view(output, *self._inputs).output
        head = keras.Model([tensors[name] for name in self._inputs], tensors[output])
        # Cutting gives each feature map an input layer with a name of its own.
        self._layers = [
            next(layer for layer in head.layers if layer.output is tensor) for tensor in head.inputs
        ]
        self._visualize = METHODS[method](head)

    def __call__(self, values, feature, classes, step=None):
        """Return the evidence for `classes` in the feature map `feature`.

        Args:
            values: the feature maps by name, each `(B, h, w, D)`, and what is held.
            feature: the one to explain.
            classes: `(B,)` integers, the class explained in each image.
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
            [np.asarray(values[name], "float32") for name in self._inputs],
            penultimate_layer=self._layers[self._features.index(feature)],
            seek_penultimate_conv_layer=False,
            expand_cam=False,
            normalize_cam=False,
        )
        maps = np.asarray(maps, "float32")
        return maps * (maps.shape[1] * maps.shape[2])  # per view instead of per cell
