"""Find objects in a photo: glance at the whole, then refine each place until it is framed."""

import math

import keras
from keras import ops

from rra_keras.layers.box_localizer import BoxLocalizer
from rra_keras.layers.boxes import box_in_box, snap_box
from rra_keras.layers.fixations import distinct
from rra_keras.layers.zoom_crop import ZoomCrop, shrink

# Of the sides of the view that a box was found in, added to the box's before looking inside it: a
# small object is found beside its place, by some pixels of what was seen.
VIEW_MARGIN = 0.3
# Longer side of a box, as a share of its view's, from which on the view is close enough.
FRAMED = 0.6


@keras.saving.register_keras_serializable("rra_keras")
class RecursiveAttention(keras.layers.Layer):
    """Find where the objects of a photo are, by the same weights again and again.

    1. Glance: the photo, shrunk to `glance_size` → trunk → localizer → `max_fixations` boxes, the
       places that most of its positions vote for (`fixation_boxes`).
    2. Refine: each box, grown by three tenths of the view that it was found in (a glance that is n
       times as large as the views: by an n-th of that), is cropped from full resolution at
       `view_size`; the same trunk and the same localizer → the box inside it. At most
       `max_refinements` times, and for each box only until it takes six tenths of its view's
       height or width: closer views would show no more.
    3. A fixation that ends on the object of an earlier one, or on a part of it (half or more of it
       is inside the other's box), is not `distinct`.

    In training there are `train_fixations` of them, the most voted: one unless told. The boxes
    carry no gradient: the localizer learns from boxes (`rra_keras.find_objects`), not from the
    classes.

    Args:
        trunk: a `keras.Model` from images `(B, g, g, 3)` to features `(B, h, w, D)`.
        localizer: a layer from features to boxes `(B, 4)`, such as `BoxLocalizer`. For several
            fixations it needs a method `propose(features, count)` → `(boxes, votes)`.
        glance_size: side of the glance, pixels.
        max_refinements: most closer views of each box.
        max_fixations: places `K`.
        train_fixations: places in training.
        view_size: side of the closer views, pixels; that of the glance unless given.
        crop_method: see `ZoomCrop`.
        **kwargs: `keras.layers.Layer`'s own.

    Call arguments:
        images: `(B, S, S, 3)`, RGB 0…255.
        training: whether to make only `train_fixations`.

    Output:
        A dict. `boxes` `(B, K, 4)`, `y0 x0 y1 x1` in [0, 1]; `votes` `(B, K)`, the share of the
        votes in the glance; `distinct` `(B, K)`, 1 or 0; `refinements` `(B, K)`, how many views
        were needed; `found` `(B, K, 1 + R, 4)`, the box after the glance and after each
        refinement; `views` `(B, K, R, 4)`, what each of them saw; `glance` `(B, g, g, 3)`.

    Raises:
        ValueError: if a number is out of range.

    Example:
        trunk = keras.Sequential([keras.Input((32, 32, 3)), keras.layers.Conv2D(8, 3, 8, "same")])
        where = rra_keras.RecursiveAttention(
            trunk, rra_keras.BoxLocalizer(), glance_size=32, max_fixations=2
        )(images)
        boxes = where["boxes"]  # (9, 2, 4)

    Source: the recursion of Shroff et al., "Focus Longer to See Better" (CVPRW 2020), here over
    views of the photo; fixations after Wang et al., "Glance and Focus" (NeurIPS 2020).
    """

    def __init__(
        self,
        trunk,
        localizer,
        glance_size=128,
        max_refinements=1,
        max_fixations=1,
        crop_method="auto",
        train_fixations=1,
        view_size=None,
        **kwargs,
    ):
        kwargs.setdefault("dtype", "float32")  # an edge needs it; the trunk has a policy of its own
        super().__init__(autocast=False, **kwargs)
        view_size = glance_size if view_size is None else view_size
        for name, value, least in (
            ("glance_size", glance_size, 1),
            ("view_size", view_size, 1),
            ("max_refinements", max_refinements, 0),
            ("max_fixations", max_fixations, 1),
            ("train_fixations", train_fixations, 1),
        ):
            if value < least:
                raise ValueError(
                    f"Invalid value for argument `{name}`. Expected an integer, at least {least}. "
                    f"Received: {name}={value}"
                )
        self.trunk = trunk
        self.localizer = localizer
        self.glance_size = glance_size
        self.view_size = view_size
        self.max_refinements = max_refinements
        self.max_fixations = max_fixations
        self.train_fixations = train_fixations
        self.crop_method = crop_method
        self.zoom_crop = ZoomCrop(view_size, crop_method, dtype="float32", name="zoom_view")
        self.supports_jit = self.zoom_crop.supports_jit

    def build(self, images_shape):
        view = (None, self.view_size, self.view_size, images_shape[-1])
        if not self.localizer.built:
            self.localizer.build(self.trunk.compute_output_shape(view))

    def call(self, images, training=None):
        count = self.max_fixations
        if training:
            count = min(self.train_fixations, count)
        glance = shrink(images, self.glance_size)
        boxes, votes = self.propose(glance, count)  # (B, K, 4), (B, K)
        # A place is a batch of its own from here on, so that no tensor has an axis too many.
        places = [ops.reshape(box, (-1, 4)) for box in ops.split(boxes, count, axis=1)]
        found, views = [list(places)], []
        # 1 while it goes on, then 0: numbers, as GPU delegates know few conditions.
        active = [smaller_than_view(box) for box in places]  # (B, 1) each
        needed = [0.0 * each for each in active]
        view = [None] * count
        for _ in range(self.max_refinements):
            view = [self.view_around(*each) for each in zip(places, view, strict=True)]
            crops = [self.zoom_crop([images, each]) for each in view]
            seen = self.refine(ops.concatenate(crops, axis=0), ops.concatenate(view, axis=0))
            boxes, smaller = (ops.split(each, count, axis=0) for each in seen)  # (B, …), K of each
            for k in range(count):
                needed[k] = needed[k] + active[k]
                places[k] = places[k] + active[k] * (boxes[k] - places[k])
                active[k] = active[k] * smaller[k]
            found.append(list(places))
            views.append(view)
        boxes = ops.stop_gradient(ops.stack(places, axis=1))
        by_place = [ops.stack(steps, axis=1) for steps in zip(*found, strict=True)]  # (B, 1 + R, 4)
        outputs = {
            "boxes": boxes,
            "votes": votes,
            "distinct": distinct(boxes, votes),
            "refinements": ops.concatenate(needed, axis=-1),
            "found": ops.stack(by_place, axis=1),
            "glance": glance,
        }
        if views:
            by_place = [ops.stack(steps, axis=1) for steps in zip(*views, strict=True)]
            outputs["views"] = ops.stack(by_place, axis=1)
        return outputs

    def propose(self, glance, count):
        """Return the boxes `(B, K, 4)` of places in a glance, and their votes `(B, K)`."""
        features = self.trunk(glance)
        if hasattr(self.localizer, "propose"):
            boxes, votes = self.localizer.propose(features, count)
            return inside_image(boxes), votes
        box = ops.expand_dims(inside_image(self.localizer(features)), 1)
        return box, ops.ones_like(box[:, :, 0])

    def refine(self, crop, view):
        """Find the object in a view of the photo.

        Args:
            crop: `(B, v, v, 3)`, RGB 0…255.
            view: `(B, 4)`, where in the photo it was cut.

        Returns:
            The object's box `(B, 4)` in the photo, and `(B, 1)`: 1 if it is small in the view, so
            that a closer one shows more, or else 0.
        """
        inner = self.localizer(self.trunk(crop))
        return inside_image(box_in_box(view, inner)), smaller_than_view(inner)

    def view_around(self, box, last=None):
        """Return what to look into next `(B, 4)`: a box and a margin, as it was found in a view.

        Its edges are on a grid (`snap_box`).

        Args:
            box: `(B, 4)` in the photo.
            last: `(B, 4)`, the view that it was found in; the glance unless given.
        """
        low, high = ops.split(box, 2, axis=-1)  # (B, 2) each
        extent = self.view_size / self.glance_size
        if last is not None:
            extent = last[:, 2:] - last[:, :2]
        reach = 0.5 * VIEW_MARGIN * extent
        return snap_box(inside_image(ops.concatenate([low - reach, high + reach], axis=-1)))

    def compute_output_spec(self, images, training=None):
        batch, count, steps = images.shape[0], self.max_fixations, self.max_refinements
        side = self.glance_size
        shapes = {
            "boxes": (batch, count, 4),
            "votes": (batch, count),
            "distinct": (batch, count),
            "refinements": (batch, count),
            "found": (batch, count, 1 + steps, 4),
            "glance": (batch, side, side, images.shape[-1]),
        }
        if steps:
            shapes["views"] = (batch, count, steps, 4)
        return {name: keras.KerasTensor(shape, "float32") for name, shape in shapes.items()}

    def get_config(self):
        return {
            **super().get_config(),
            "trunk": keras.saving.serialize_keras_object(self.trunk),
            "localizer": keras.saving.serialize_keras_object(self.localizer),
            "glance_size": self.glance_size,
            "view_size": self.view_size,
            "max_refinements": self.max_refinements,
            "max_fixations": self.max_fixations,
            "crop_method": self.crop_method,
            "train_fixations": self.train_fixations,
        }

    @classmethod
    def from_config(cls, config):
        parts = {
            name: keras.saving.deserialize_keras_object(config[name])
            for name in ("trunk", "localizer")
        }
        return cls(**{**config, **parts})


def refinements_for(image_size):
    """Return how many refinements an object may need: one, and one more for each doubling of 448.

    So depth grows with the logarithm of a photo's side, where a backbone's cost grows with its
    area.
    """
    return 1 + max(0, math.ceil(math.log2(image_size / 448)))


def glance_size_for(image_size):
    """Return the side of the glance: 128 pixels, and 384 for photos of 896 and more.

    In a large photo objects are small: in street scenes of 896 pixels, taught by 24 boxes, a glance
    of 384 puts 64 and 68 % of the first places on the sign, and one of 192 puts 51 and 63 % there
    (two draws of the boxes).
    """
    return min(image_size, 128 if image_size < 896 else 384)


def view_size_for(glance_size):
    """Return the side of the closer views: that of the glance, and 192 pixels at most.

    A view shows little of the photo, and needs fewer pixels for it.
    """
    return min(glance_size, 192)


def localizer_for(trunk, glance_size, view_size):
    """Return a `BoxLocalizer`, whose distances are by the views where these are not the glance."""
    span = None
    if glance_size != view_size:
        span = trunk.compute_output_shape((None, view_size, view_size, 3))[1]
    return BoxLocalizer(span=span, name="localizer")


def smaller_than_view(box):
    """Return `(B, 1)`: 1 if a box takes little of its view's height and width, or else 0."""
    longer = ops.max(box[:, 2:] - box[:, :2], axis=-1, keepdims=True)  # (B, 1)
    return ops.cast(longer < FRAMED, box.dtype)


def inside_image(box):
    """Return boxes `(…, 4)`, clipped to [0, 1]."""
    return ops.clip(box, 0.0, 1.0)
