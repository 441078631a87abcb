"""What is exported of a model: its signatures, as functions of what a device has at hand."""

import keras
from keras import ops

from rra_keras.models.framing import smaller_than_view, view_around, with_margin


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

    - `full(images)`: the whole in one call, of images `(B, S, S, 3)`: `logits` and `probabilities`
      `(B, C)`, and `score` `(B, 1)`, how much the photo is like those of the classes; with looks
      also `boxes` `(B, looks, 4)` and `step_weights` `(B, T)`.

    A model of one look also has it in pieces, between which the device cuts the crops itself, out
    of a photo that it never makes a tensor of:

    - `glance(crop)`, of the whole photo `(B, g, g, 3)`: its own `logits` and `probabilities`
      `(B, C)`, `score`, the greatest of its logits, and `box` `(B, 4)`, where to read. With
      `localizer="box"` also `view` `(B, 4)`, where to look next, and `framed` `(B, 1)`: 1 if that
      would show no more, or else 0.
    - `look(crop, view)`, of the photo's part `view` `(B, g, g, 3)`, with `localizer="box"` alone:
      `box`, `view` and `framed` anew. With the same weights each time.
    - `read(crop, logits)`, of the photo's part `box` `(B, h, w, 3)`, with the glance's logits: the
      answer, `logits`, `probabilities`, `score` and `step_weights` as of `full`.

    Pixels are RGB 0…255, boxes `y0 x0 y1 x1` in [0, 1] of the photo; `rra_keras.ZoomCrop` says how
    they are cut.

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
        self.inputs = {"full": {"images": (model.image_size, model.image_size, 3)}}
        if not model.looks:
            self._full = model.view("logits", "score")
            return
        self.temperatures["glance"] = glance_temperature
        self._full = model.view("logits", "score", "boxes", "step_weights")
        if model.looks > 1:
            return
        small, box = (model.glance_size, model.glance_size, 3), (4,)
        self.inputs["glance"] = {"crop": small}
        if model.learns_where:
            self.inputs["look"] = {"crop": small, "view": box}
        self.inputs["read"] = {"crop": (*model.patch_size, 3), "logits": (model.num_classes,)}
        self._glance, self._look, self._read = _pieces(model)

    def full(self, images):
        return self._answer("full", self._full(images, training=False))

    def glance(self, crop):
        outputs = self._glance(crop, training=False)
        score = ops.max(outputs["logits"], axis=-1, keepdims=True)
        return self._answer("glance", {**outputs, "score": score})

    def look(self, crop, view):
        return self._look([crop, view], training=False)

    def read(self, crop, logits):
        return self._answer("full", self._read([crop, logits], training=False))

    def _answer(self, who, outputs):
        # The logits from the scaled ones: LiteRT's GPU (2.3) multiplies in the layer that gives an
        # output, and leaves the output itself unwritten.
        scaled = outputs["logits"] / self.temperatures[who]
        logits = scaled * self.temperatures[who]
        return {**outputs, "logits": logits, "probabilities": ops.softmax(scaled)}


def _pieces(model):
    """Return the models behind `glance`, `look` (`None` where there is none) and `read`."""
    names = ("glance", "glance_logits", "look_1_box", "look_1_crop", "step_weights", "score")
    seen = model.view(*names).output
    source, logits, crop = seen["glance"], seen["glance_logits"], seen["look_1_crop"]
    whole = {name: seen[name] for name in ("step_weights", "score")}
    whole["logits"] = model.output["logits"]
    read = keras.Model([crop, logits], whole)
    if not model.learns_where:
        return keras.Model(source, {"logits": logits, "box": seen["look_1_box"]}), None, read
    first = model.framing.object_boxes[0]  # (B, 4)
    found = _found(first, smaller_than_view(first))
    glance = keras.Model(source, {"logits": logits, **found})
    view, part = keras.Input((4,), name="view"), keras.Input(source.shape[1:], name="crop")
    look = keras.Model([part, view], _found(*model.framing.find(part, view), view))
    return glance, look, read


def _found(box, smaller, view=None):
    """Return what a look says of an object that it found in a view."""
    return {"box": with_margin(box), "view": view_around(box, view), "framed": 1.0 - smaller}
