"""What is exported of a model: its signatures, as functions of images."""

import keras
from keras import ops


def rebuild(model, crop_method):
    """Return `model` rebuilt for inference with another form of the crop, weights and all.

    Args:
        model: an `RRAClassifier`.
        crop_method: `"tf_image"` or `"gather"` (see `rra_keras.ZoomCrop`).
    """
    # Without a gradient of the boxes there is no arithmetic for it in the graph either.
    config = {**model.get_config(), "crop_method": crop_method, "box_gradient": 0.0}
    rebuilt = model.from_config(config)
    rebuilt.set_weights(model.get_weights())
    return rebuilt


class Signatures:
    """A model's signatures, each a function to a dict of float32 tensors.

    - `full(images)`: `logits` and `probabilities` `(B, C)`; with looks also `boxes`
      `(B, looks, 4)` as `y0 x0 y1 x1` in [0, 1] and `step_weights` `(B, T)`.
    - `glance(images)`: the glance alone: its `logits` and `probabilities` `(B, C)`, and the first
      look's box, `boxes` `(B, 1, 4)`.
    - `focus(images, boxes, logits)`: from what `glance` returned to what `full` returns, without
      computing the glance twice.

    `images` are RGB 0…255, `(B, S, S, 3)` float32. The plain backbone (`looks=0`) has `full` only.

    Probabilities are of logits divided by a temperature: the model's own, and for the glance's
    alone, which are of another scale, one of theirs. Logits are as Keras gives them.

    Args:
        model: an `RRAClassifier`.
        glance_temperature: of the glance's logits.

    Attributes:
        temperatures: by who answers, `"full"` or `"glance"`, what the logits are divided by.
        model: the same model, which holds every weight.
        inputs: by signature, the names and shapes of its arguments, without the batch axis.
    """

    def __init__(self, model, glance_temperature=1.0):
        self.model = model
        self.temperatures = {"full": model.temperature}
        images = {"images": (model.image_size, model.image_size, 3)}
        self.inputs = {"full": images}
        if not model.looks:
            self._full = model.view("logits")
            return
        self.temperatures["glance"] = glance_temperature
        self.inputs["glance"] = images
        self.inputs["focus"] = {**images, "boxes": (1, 4), "logits": (model.num_classes,)}
        self._full = model.view("logits", "boxes", "step_weights")
        source = model.inputs[0]
        logits = model.view("glance_logits").output["glance_logits"]
        box = model.view("look_1_box").output["look_1_box"]  # (B, 4)
        self._glance = keras.Model(source, {"logits": logits, "boxes": box})
        self._focus = keras.Model([source, box, logits], self._full.output)

    def full(self, images):
        return self._answer("full", self._full(images, training=False))

    def glance(self, images):
        outputs = self._answer("glance", self._glance(images, training=False))
        return {**outputs, "boxes": ops.expand_dims(outputs["boxes"], 1)}

    def focus(self, images, boxes, logits):
        # Arithmetic first: LiteRT 2.3 passes garbage on where an input is reshaped at once. And a
        # reshape, because GPUs take no index that drops an axis.
        box = ops.reshape(ops.clip(boxes, 0.0, 1.0), (-1, 4))
        return self._answer("full", self._focus([images, box, logits], training=False))

    def _answer(self, who, outputs):
        scaled = outputs["logits"] / self.temperatures[who]
        return {**outputs, "probabilities": ops.softmax(scaled)}
