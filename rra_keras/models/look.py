"""One view of the image and what it says: the glance at the whole, and each look closer."""

import dataclasses
from typing import Any

import keras

from rra_keras.layers.boxes import box_in_box, scale_gradient
from rra_keras.layers.zoom_crop import average


@dataclasses.dataclass(frozen=True)
class Seen:
    """What one view gives to whatever comes after it, Keras tensors all.

    Attributes:
        features: `(B, h, w, D)`, the encoder's feature map.
        fine_features: `(B, H, W, D')`, the one of higher resolution; `None` where nothing needs it.
        scores: `(B, h, w, C)`, class scores at each position; `None` where nothing gives them.
        vector: `(B, D)`, the features pooled.
        vote: `(B, C)`, the linear vote of `vector`; `None` without one.
        box: `(B, 4)`, where in the image it was; `None` for the whole.
        crop: `(B, h, w, 3)`, what was seen there; `None` for the whole.
    """

    features: Any
    fine_features: Any
    scores: Any
    vector: Any
    vote: Any = None
    box: Any = None
    crop: Any = None


class Look:
    """Looks closer: from what was seen last to what is seen inside of it.

    1. Place: `localizer(features, scores, fine_features)` → a box inside the last view.
    2. Put that box into the image's own frame.
    3. Crop it out of the full-resolution image.
    4. Encode the crop → feature map, pooled vector `(B, D)`.
    5. With a classifier: its scores at each position, and its vote `(B, C)`.

    Another kind of look is a class with another `place`.

    Args:
        localizer: layer that gives the first look its box.
        inner_localizer: layer that gives a look inside another one its box.
        zoom_crop: a `ZoomCrop`.
        encoder: model from crops to `[feature map, finer feature map]`.
        pool: layer from a feature map to a vector.
        classifier: layer from features to class scores, for the linear vote; or `None`.
        box_gradient: share of the crops' gradient that reaches the localizer.
    """

    def __init__(
        self, localizer, inner_localizer, zoom_crop, encoder, pool, classifier, box_gradient
    ):
        self.localizer = localizer
        self.inner_localizer = inner_localizer
        self.zoom_crop = zoom_crop
        self.encoder = encoder
        self.pool = pool
        self.classifier = classifier
        self.box_gradient = box_gradient

    def __call__(self, images, last, name):
        """Look into what was seen last.

        Args:
            images: `(B, S, S, 3)`, RGB 0…255.
            last: the `Seen` of the view before.
            name: prefix of the named tensors: `name_box`, `name_crop`, `name_features`.

        Returns:
            A `Seen`.
        """
        return self.at(images, self.place(images, last), name)

    def at(self, images, box, name):
        """Look into a box `(B, 4)` of the image, as a call does."""
        box = named(box, f"{name}_box")
        crop = named(self.zoom_crop([images, box]), f"{name}_crop")
        features, fine_features = self.encoder(crop)[:2]
        features = named(features, f"{name}_features")
        vector = self.pool(features)  # (B, D)
        scores = vote = None
        if self.classifier:
            vote, scores = self.classifier(vector), self.classifier(features)
        return Seen(features, fine_features, scores, vector, vote, box, crop)

    def closer(self, images, glance, count):
        """Look `count` times, each inside the last.

        Args:
            images: `(B, S, S, 3)`, RGB 0…255.
            glance: the `Seen` of the whole.
            count: looks.

        Returns:
            A `Seen` for each, named `look_1` and so on.
        """
        seen = [glance]
        for k in range(1, count + 1):
            seen.append(self(images, seen[-1], f"look_{k}"))
        return seen[1:]

    def place(self, images, last):
        """Return the box `(B, 4)` to look into, in the image's frame."""
        localizer = self.localizer if last.box is None else self.inner_localizer
        box = localizer(last.features, last.scores, last.fine_features)  # inside the last view
        box = scale_gradient(box, self.box_gradient)
        return box if last.box is None else box_in_box(last.box, box)


def shrink(images, image_size, glance_size):
    """Shrink images `(B, S, S, 3)` to the glance: by averaging whole pixels, then bilinearly."""
    factor = whole_factor(image_size, glance_size)
    if factor > 1:
        images = average(images, (factor, factor))
    if image_size // factor != glance_size:
        images = keras.layers.Resizing(glance_size, glance_size, name="glance")(images)
    return images


def whole_factor(size, least):
    """Return by how much a side of `size` pixels can be averaged and stay at least `least`."""
    return max(f for f in range(1, max(size // least, 1) + 1) if size % f == 0)


def named(tensor, name):
    """Give an intermediate a name to address it by, in the graph and by Grad-CAM."""
    # Of its own dtype: boxes are to stay float32 under a half-precision policy.
    return keras.layers.Identity(dtype=tensor.dtype, name=name)(tensor)
