"""How the looks close in on the object, and what each would be worth as the last one."""

import keras
import numpy as np
from keras import ops

from rra_keras.measures.localization import intersection_over_union
from rra_keras.models.framing import with_margin


class Reader:
    """Reads photos at given boxes, as a model with `localizer="box"` and one look does at its own.

    Args:
        model: the `RRAClassifier`.
    """

    def __init__(self, model):
        tensors = model.view("look_1_crop", "glance_logits").output
        source = [tensors["look_1_crop"], tensors["glance_logits"]]
        self._crop = model.zoom_crop
        self._read = keras.Model(source, model.output["logits"])

    def __call__(self, images, boxes, glance_logits):
        """Return the logits `(B, C)` of images `(B, S, S, 3)` read at objects' boxes `(B, 4)`."""
        boxes = with_margin(ops.convert_to_tensor(boxes, "float32"))
        crops = self._crop([ops.convert_to_tensor(images, "float32"), boxes])
        return np.asarray(self._read.predict_on_batch([crops, glance_logits]))

    def each_look(self, images, seen):
        """Read a batch at the box of each look, and at that of another photo's.

        Args:
            images: `(B, S, S, 3)`, 0…255.
            seen: their `Explanation`, K boxes of an object each.

        Returns:
            Two arrays `(B, K, C)` of logits.
        """
        own, others = [], []
        for boxes in np.moveaxis(seen.object_boxes, 1, 0):  # (B, 4)
            own.append(self(images, boxes, seen.glance_logits))
            others.append(self(images, np.roll(boxes, 1, axis=0), seen.glance_logits))
        return np.stack(own, axis=1), np.stack(others, axis=1)


def closing_table(seen, labels, own, others, boxes=None):
    """Return a row for the glance and for each look after it.

    Args:
        seen: the `Explanation` of N photos.
        labels: `(N,)` integers.
        own: `(N, K, C)`, logits of the photos read at the box of each look.
        others: `(N, K, C)`, the same at another photo's box.
        boxes: `(N, 4)`, the objects' true boxes where they are known, or `None`.

    Returns:
        A list of dicts: `name`; `needed`, by which share of the photos; `area` of the box, a mean
        over all photos, as shares of the photo; `found`, the share of boxes with an IoU of at
        least 0.5, `None` where no box is known; `accuracy`, read there; `elsewhere`, read at
        another photo's box.
    """
    rows = []
    for k, box in enumerate(np.moveaxis(seen.object_boxes, 1, 0)):
        found = None
        if boxes is not None and (known := ~np.isnan(boxes).any(axis=1)).any():
            found = float(np.mean(intersection_over_union(box[known], boxes[known]) >= 0.5))
        rows.append(
            {
                "name": f"look {k}" if k else "glance",
                "needed": float(np.mean(seen.refined >= k)),
                "area": float(np.prod(box[:, 2:] - box[:, :2], axis=1).mean()),
                "found": found,
                "accuracy": float(np.mean(own[:, k].argmax(-1) == labels)),
                "elsewhere": float(np.mean(others[:, k].argmax(-1) == labels)),
            }
        )
    return rows
