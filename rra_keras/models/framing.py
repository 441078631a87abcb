"""A look that frames the object first, by the encoder's early, frozen layers alone."""

import math

from keras import ops

from rra_keras.layers import BoxJitter, PeakBoxes
from rra_keras.layers.boxes import box_in_box, grow_box
from rra_keras.layers.evidence import disagreement_map
from rra_keras.models.look import Look, named

# Of the sides of the view that a box was found in, added to the box's before looking inside it: a
# small object is found beside its place, by a share of what was seen.
VIEW_MARGIN = 0.3
# Longer side of a box, as a share of its view's, from which on the view is close enough.
FRAMED = 0.6
FAR_VIEWS = 12  # for `fit_localizer`, for each refinement beyond the first
PATCH_MARGIN = 0.1  # added before it is read
PART = 1 / 3  # of the sides of the look at the object, for a look at one of its parts


class FramingLook(Look):
    """Frames the object, then looks at it: where by the trunk alone, what by the whole encoder.

    1. `localizer(trunk features of the glance)` → the object's box.
    2. At most `refinements` times: the box, grown by three tenths of the view that it was found in,
       is cropped at the glance's size; the same trunk and the same localizer → the box inside it.
       Recursion with the same weights. It ends for a photo once a box takes most of its view's
       height or width: closer views would show no more. A large object is framed by the glance, one
       that is far off needs several.
    3. The box, grown by a tenth, is where the look is; moved at random in training (`BoxJitter`).
    4. From there on as any `Look`. Further looks go to different parts of the object: a third as
       high and wide, at the peaks of what would tell the likely classes apart in the first one
       (`disagreement_map`, `PeakBoxes`).

    Args:
        trunk: model from crops to the features that `localizer` reads, `(B, h, w, D)`.
        zoom_frame: a `ZoomCrop` to the trunk's size.
        refinements: most looks of the trunk inside its own box.
        **look: the arguments of `Look`.
    """

    def __init__(self, *, trunk, zoom_frame, refinements, **look):
        super().__init__(**look)
        self.trunk = trunk
        self.zoom_frame = zoom_frame
        self.refinements = refinements
        self.jitter = BoxJitter(name="box_jitter")
        self.object_boxes = []  # one for the glance and one for each refinement, in the image
        self.views = []  # where each refinement looks, in the image
        self.refined = None  # (B,) refinements that a photo needed

    def closer(self, images, glance, count):
        """Look at the object, then at its parts."""
        seen = [self(images, glance, "look_1")]
        if count > 1:
            whole = seen[0]
            evidence = ops.stop_gradient(disagreement_map(whole.scores))
            # (B, count - 1, 4) inside the object
            parts = PeakBoxes(count - 1, PART, name="parts")(evidence)
            for k, part in enumerate(ops.unstack(parts, count - 1, axis=1), start=2):
                seen.append(self.at(images, box_in_box(whole.box, part), f"look_{k}"))
        return seen

    def place(self, images, last):
        """Return the box `(B, 4)` of the object, with a margin, in the image's frame."""
        box = _inside_image(self.localizer(last.features))
        self.object_boxes, self.views = [box], []
        # 1 while it goes on, then 0: numbers, as GPU delegates know few conditions.
        active = smaller_than_view(box)  # (B, 1)
        refined = 0.0 * active
        view = None
        for _ in range(self.refinements):
            view = view_around(box, view)
            self.views.append(view)
            found, smaller = self.find(self.zoom_frame([images, view]), view)
            box = box + active * (found - box)
            self.object_boxes.append(box)
            refined = refined + active
            active = active * smaller
        self.refined = refined[:, 0]
        box = named(ops.stop_gradient(box), "object_box")
        return _inside_image(self.jitter(with_margin(box)))

    def find(self, crop, view):
        """Find the object in a crop of the image.

        Args:
            crop: `(B, g, g, 3)`, RGB 0…255.
            view: `(B, 4)`, where in the image it was cut.

        Returns:
            The object's box `(B, 4)` in the image, and `(B, 1)`: 1 if it is small in the view, so
            that a closer one shows more, or else 0.
        """
        inner = self.localizer(self.trunk(crop))
        return _inside_image(box_in_box(view, inner)), smaller_than_view(inner)


def refinements_for(image_size):
    """Return how many refinements an object may need: one, and one more for each doubling of 448.

    So depth grows with the logarithm of a photo's side, where a backbone's cost grows with its
    area.
    """
    return 1 + max(0, math.ceil(math.log2(image_size / 448)))


def view_around(box, last=None):
    """Return what to look at next `(B, 4)`: a box and a margin, as it was found in a view.

    Args:
        box: `(B, 4)` in the image.
        last: `(B, 4)`, the view that it was found in; the whole image unless given.
    """
    low, high = ops.split(box, 2, axis=-1)  # (B, 2) each
    extent = 1.0 if last is None else last[:, 2:] - last[:, :2]
    reach = 0.5 * VIEW_MARGIN * extent
    return _inside_image(ops.concatenate([low - reach, high + reach], axis=-1))


def smaller_than_view(box):
    """Return `(B, 1)`: 1 if a box takes little of its view's height and width, or else 0."""
    longer = ops.max(box[:, 2:] - box[:, :2], axis=-1, keepdims=True)  # (B, 1)
    return ops.cast(longer < FRAMED, box.dtype)


def with_margin(box):
    """Return an object's box `(B, 4)` as it is read: grown by a tenth."""
    return grow_box(box, PATCH_MARGIN)


def _inside_image(box):
    return ops.clip(box, 0.0, 1.0)
