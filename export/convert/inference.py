"""What is exported of a model: its signatures, as functions of what a device has at hand."""

import keras
from keras import ops

from rra_keras.layers.recursive_attention import smaller_than_view
from rra_keras.models.classifier import box_to_read


def rebuild(model, crop_method):
    """Return `model` rebuilt for inference with another form of the crop, weights and all.

    Args:
        model: a classifier of this package.
        crop_method: `"tf_image"` or `"gather"` (see `rra_keras.ZoomCrop`).
    """
    rebuilt = model.from_config({**model.get_config(), "crop_method": crop_method})
    rebuilt.set_weights(model.get_weights())
    return rebuilt


class Signatures:
    """A model's signatures, each a function to a dict of float32 tensors.

    - `full(images)`: the whole in one call, of images `(B, S, S, 3)`: `logits` and `probabilities`
      `(B, C)`, and `score` `(B, 1)`, how much the photo is like those of the classes; with
      fixations also `boxes` `(B, K, 4)`, where it was read, and `weights` `(B, K)`.

    A model with fixations also has it in pieces, between which the device cuts the crops itself,
    out of a photo that it never makes a tensor of:

    - `glance(crop)`, of the whole photo `(B, g, g, 3)`: K places, the most voted first. Of each
      `object` `(B, K, 4)`, its box; `box`, the same with a margin, where to read; `view`, where to
      look next; `framed` `(B, K)`, 1 if that would show no more, or else 0; `votes` `(B, K)`, 0
      where nothing votes for the place.
    - `refine(crop, view)`, of the photo's part `view` `(B, v, v, 3)`: `object`, `box` and `view`
      `(B, 4)` and `framed` `(B, 1)` again. With the same weights each time.
    - `read(crop)`, of the photo's part `box` `(B, h, w, 3)`: `logits` `(B, C)` and `score` `(B, 1)`
      of this fixation.

    Pixels are RGB 0…255, boxes `y0 x0 y1 x1` in [0, 1] of the photo; `rra_keras.ZoomCrop` says how
    they are cut. Probabilities are of logits divided by the model's temperature: their softmax, or
    sigmoids where a photo may be of several classes.

    Args:
        model: a classifier of this package.

    Attributes:
        model: the same model, which holds every weight.
        inputs: by signature, the names and shapes of its arguments, without the batch axis.
    """

    def __init__(self, model):
        self.model = model
        self._temperature = model.calibration.temperature
        self.inputs = {"full": {"images": (model.image_size, model.image_size, 3)}}
        if not model.attention:
            self._full = model.view("logits", "score")
            return
        self._full = model.view("logits", "score", "read_boxes", "fixation_weights")
        attention = model.attention
        self.inputs["glance"] = {"crop": (*(attention.glance_size,) * 2, 3)}
        if attention.max_refinements:
            self.inputs["refine"] = {"crop": (*(attention.view_size,) * 2, 3), "view": (4,)}
        self.inputs["read"] = {"crop": (*model.crop_size, 3)}
        crop = keras.Input((*model.crop_size, 3), name="crop")
        features = model.encoder(crop)[0]
        vector = model.pool(features)
        logits = model.classifier(vector)
        score = model.calibration([logits, vector])
        self._read = keras.Model(crop, {"logits": logits, "score": score})

    def full(self, images):
        outputs = dict(self._full(images, training=False))
        # The logits from the scaled ones: LiteRT's GPU (2.3) multiplies in the layer that gives an
        # output, and leaves the output itself unwritten.
        scaled = outputs["logits"] / self._temperature
        shares = ops.sigmoid(scaled) if self.model.answer == "any" else ops.softmax(scaled)
        outputs |= {"logits": scaled * self._temperature, "probabilities": shares}
        if self.model.attention:
            outputs["boxes"] = outputs.pop("read_boxes")
            outputs["weights"] = outputs.pop("fixation_weights")
        return outputs

    def glance(self, crop):
        attention = self.model.attention
        count = attention.max_fixations
        boxes, votes = attention.propose(crop, count)
        places = [ops.reshape(box, (-1, 4)) for box in ops.split(boxes, count, axis=1)]
        found = [self._found(place, smaller_than_view(place)) for place in places]
        several = {
            name: ops.stack([each[name] for each in found], axis=1)
            for name in ("object", "box", "view")
        }
        framed = ops.concatenate([each["framed"] for each in found], axis=-1)
        return {**several, "framed": framed, "votes": votes}

    def refine(self, crop, view):
        return self._found(*self.model.attention.refine(crop, view), view)

    def read(self, crop):
        return self._read(crop, training=False)

    def _found(self, box, smaller, view=None):
        """Return what a device needs of an object that was found in a view."""
        return {
            "object": box,
            "box": box_to_read(box),
            "view": self.model.attention.view_around(box, view),
            "framed": 1.0 - smaller,
        }
