"""What was found in the photos, and what it means for the model."""

import dataclasses
from typing import Any

import numpy as np

from rra_keras.discovery.probe import Choice


@dataclasses.dataclass(frozen=True)
class Objects:
    """The objects that were found in N photos, and a localizer that finds them in others.

    Example:
        objects = rra_keras.find_objects(images, labels, "mobilenet", weights="random")
        surest = objects.boxes[objects.confidence.argmax()]

    Attributes:
        boxes: `(N, 4)` float32, `y0 x0 y1 x1` in [0, 1], with several labels a photo that of the
            surest; the whole photo where it is better read whole.
        confidence: `(N,)` float32 in [0, 1], how sure each box is.
        name: where the boxes come from: `"set"`, `"class"` or `"norm"` (see `hypothesize`), with
            `_2`, `_3` or `_4` for such a depth; `"match"` (`matched_boxes`); `"given"`, boxes by
            somebody; `"frame"`, the whole photo.
        choice: what the hypotheses were worth, or `None` where no labels told.
        crop_size: `(height, width)`, pixels: the objects' shape.
        plain_size: side of the photo at which the plain backbone costs about as much, pixels.
        localizer: the weights of the taught `BoxLocalizer`; `None` where photos are read whole.
        arguments_used: the arguments of the model that they were found with.
        rounds: what each round of teaching by what was read gained, a tuple of `Round`s.
        consistency: share of photos in which the localizer finds the same object once more when
            they are mirrored and moved (`consistent_boxes`); `None` without one.
        earlier: the boxes before each round that was kept, `(N, 4)` each.
        mirror: whether training may mirror the photos: `False` where mirrored ones look like
            other classes (`may_be_mirrored`).
    """

    boxes: np.ndarray
    confidence: np.ndarray
    name: str
    choice: Choice | None
    crop_size: tuple[int, int]
    plain_size: int
    localizer: tuple[np.ndarray, ...] | None
    arguments_used: dict[str, Any]
    rounds: tuple = ()
    consistency: float | None = None
    earlier: tuple[np.ndarray, ...] = ()
    mirror: bool = True

    @property
    def whole(self):
        """Whether the photos are better read whole."""
        return self.localizer is None

    @property
    def area(self):
        """The boxes' mean area, as a share of the photo."""
        return float(np.prod(self.boxes[:, 2:] - self.boxes[:, :2], axis=1).mean())

    def arguments(self, overrides):
        """Return the arguments of `RRAClassifier` that what was found asks for.

        Args:
            overrides: arguments that are given anyway.

        Raises:
            ValueError: if one of them differs from what the objects were found with.
        """
        if overrides.get("localizer", "box") is None:
            return {}
        for name, value in self.arguments_used.items():
            given = overrides.get(name, value)
            same = given is value or (not hasattr(given, "layers") and given == value)
            if not same:
                raise ValueError(
                    f"Invalid value for argument `{name}`. Expected {value!r}, as the objects were "
                    f"found with it. Received: {name}={given!r}"
                )
        if self.whole:
            return {**self.arguments_used, "localizer": None, "image_size": self.plain_size}
        return {**self.arguments_used, "localizer": "box", "crop_size": self.crop_size}

    def teach(self, model):
        """Give a model's localizer what was learned about the objects."""
        if not self.whole and model.attention:
            model.attention.localizer.set_weights(self.localizer)
