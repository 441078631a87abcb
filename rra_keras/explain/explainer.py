"""What the model saw: where it read, and the evidence for its answer there."""

import dataclasses

import numpy as np

from rra_keras import answers
from rra_keras.explain.cam import ClassActivation
from rra_keras.measures.boxes import WHOLE, areas, whole
from rra_keras.measures.maps import paste
from rra_keras.measures.unknown import is_known
from rra_keras.runs.collect import by_photo


@dataclasses.dataclass(frozen=True)
class Explanation:
    """What was seen on `B` photos, in `M` parts of them. NumPy arrays.

    A part is what was read: a fixation; of the plain backbone the whole photo; of the paper's
    network the global stream, then each step of the local one.

    Example:
        seen = explain.Explainer(model)(images[:2])
        maps = seen.maps_in_image(64)  # (2, M, 64, 64)

    Attributes:
        classes: `(B,)`, the class that the maps are evidence for: the answer.
        part_classes: `(B, M)`, the same of each part; where a photo may have several labels, what
            each part says itself.
        logits: `(B, C)`, the answer.
        scores: `(B,)`, how much each photo is like those of the classes.
        maps: `(B, M, h, w)`, evidence in each part.
        boxes: `(B, M, 4)`, where in the photo each part is, `y0 x0 y1 x1` from edge to edge.
        part_logits: `(B, M, C)`, what each part says by itself.
        weights: `(B, M)`, each part's share in the answer; 0 for a fixation that was not read.
        objects: `(B, K, 4)`, the fixations' objects; K = 0 for a model without fixations.
        found: `(B, K, 1 + R, 4)`, the objects' boxes after the glance and after each refinement.
        views: `(B, K, R, 4)`, what each refinement saw.
        refinements: `(B, K)`, how many of them were needed.
        votes: `(B, K)`, the share of the glance's votes for each.
        reads: `(B,)`, how many fixations it took to be sure.
        part_names: the parts' names.
        temperature: what logits are divided by where they become probabilities.
        known_from: the least score of a photo that is of any of the classes; `None` for all.
        answer: `"one"` of the classes, or `"any"` number of them.
        thresholds: of `"any"`: the probability from which on each class is said, `(C,)`.
    """

    classes: np.ndarray
    part_classes: np.ndarray
    logits: np.ndarray
    scores: np.ndarray
    maps: np.ndarray
    boxes: np.ndarray
    part_logits: np.ndarray
    weights: np.ndarray
    objects: np.ndarray
    found: np.ndarray
    views: np.ndarray
    refinements: np.ndarray
    votes: np.ndarray
    reads: np.ndarray
    part_names: tuple
    temperature: float
    known_from: float | None = None
    answer: str = "one"
    thresholds: object = None

    def __getitem__(self, index):
        """Return the explanation of some of the photos: a slice, a mask or integers."""
        return self._each(lambda name: getattr(self, name)[index])

    @staticmethod
    def concatenate(parts):
        """Join the explanations of batches."""
        return parts[0]._each(lambda name: np.concatenate([getattr(p, name) for p in parts]))

    def _each(self, make):
        names = [field.name for field in dataclasses.fields(self) if field.type is np.ndarray]
        return dataclasses.replace(self, **{name: make(name) for name in names})

    @property
    def known(self):
        """Which photos are of any of the classes, `(B,)` booleans."""
        return is_known(self.scores, self.known_from)

    @property
    def chosen(self):
        """The part that counts most in each answer, `(B,)`."""
        return self.weights.argmax(axis=1)

    def probabilities(self):
        """Return the answer's probabilities, `(B, C)`."""
        return answers.of(self.answer).probabilities(self.logits, self.temperature)

    @property
    def said(self):
        """The classes that are said of each photo, the most probable first, a list of arrays."""
        if self.answer == "one":
            return list(self.classes[:, None])
        shares = self.probabilities()
        return [
            np.array([c for c in np.argsort(-each, kind="stable") if each[c] >= self.thresholds[c]])
            for each in shares
        ]

    def maps_in_image(self, size):
        """Return each part's map in the photo, `(B, M, G, G)`, zero outside of its box.

        Args:
            size: side of the maps in pixels, G; they cover the photo edge to edge.
        """
        parts = range(self.maps.shape[1])
        return np.stack([paste(self.maps[:, m], self.boxes[:, m], size) for m in parts], axis=1)

    def answer_map(self, size):
        """Return the evidence for the answer, `(B, G, G)`: the parts' maps by their weights.

        Each is taken by area: evidence that stands in a smaller box is denser there.
        """
        shares = self.weights / np.maximum(areas(self.boxes), 1e-6)  # (B, M)
        return np.einsum("bm,bmyx->byx", shares, self.maps_in_image(size))


class Explainer:
    """Explains what a model saw on batches of photos; made once, called often.

    Example:
        explainer = explain.Explainer(model)
        boxes = explainer(images[:2]).objects  # (2, K, 4)

    Args:
        model: a classifier of this package.
        method: see `ClassActivation`.
        run_eagerly: leave the pass uncompiled: quicker for a single small batch.
    """

    def __init__(self, model, method="gradcam", run_eagerly=False):
        self.model = model
        self._steps = getattr(model, "steps", 0)
        if self._steps:
            names = ["logits", "score", "box", "global_features", "local_features"]
            names += ["global_logits", "step_logits", "step_weights"]
            self._whole = ClassActivation(model, "global_features", "global_logits", method)
            self._part = ClassActivation(model, "local_features", "step_logits", method)
        else:
            names = ["logits", "score", "features"]
            self._part = ClassActivation(model, "features", "part_logits", method)
        if model.attention:
            names += ["boxes", "read_boxes", "found", "refinements", "votes", "reads"]
            names += ["fixation_logits", "fixation_weights"]
            names += ["views"] if model.attention.max_refinements else []
        self._view = model.view(*names)
        self._view.run_eagerly = run_eagerly

    def __call__(self, images, classes=None):
        """Return the `Explanation` of a batch.

        1. One pass gives the boxes, the logits and the feature maps.
        2. Each part's own score for the class, differentiated by its feature map.

        Args:
            images: `(B, S, S, 3)`, RGB 0…255.
            classes: `(B,)` integers, the class to explain; the one predicted unless given.
        """
        seen = self._view.predict_on_batch(np.asarray(images, "float32"))
        seen = {name: np.asarray(value, "float32") for name, value in seen.items()}
        classes = seen["logits"].argmax(-1) if classes is None else np.asarray(classes)
        count = len(classes)
        if self._steps:
            parts = self._streams(seen, classes)
        elif self.model.attention:
            parts = self._fixations(seen, classes, count)
        else:
            parts = {
                "maps": self._part(seen["features"], classes)[:, None],
                "boxes": np.tile(WHOLE, (count, 1, 1)),
                "part_logits": seen["logits"][:, None],
                "weights": np.ones((count, 1), "float32"),
                "part_names": ("whole photo",),
            }
        parts.setdefault("part_classes", np.tile(classes[:, None], parts["weights"].shape[1]))
        calibration = self.model.calibration
        none = {
            "objects": np.zeros((count, 0, 4), "float32"),
            "found": np.zeros((count, 0, 1, 4), "float32"),
            "views": np.zeros((count, 0, 0, 4), "float32"),
            "refinements": np.zeros((count, 0), int),
            "votes": np.zeros((count, 0), "float32"),
            "reads": np.ones(count, int),
        }
        return Explanation(
            classes=classes,
            logits=seen["logits"],
            scores=seen["score"][:, 0],
            **(none | parts),
            temperature=calibration.temperature,
            known_from=calibration.known_from,
            answer=self.model.answer,
            thresholds=calibration.thresholds if self.model.answer == "any" else None,
        )

    def _fixations(self, seen, classes, count):
        places = seen["boxes"].shape[1]
        part_classes = np.tile(classes[:, None], places)  # (B, K)
        if self.model.answer == "any":
            part_classes = seen["fixation_logits"].argmax(-1)
        maps = self._part(seen["features"], part_classes.T.ravel())  # (K · B, h, w)
        edge = self.model.image_size
        return {
            "part_classes": part_classes,
            "maps": by_photo({"maps": maps}, count)["maps"] if places > 1 else maps[:, None],
            "boxes": from_edge_to_edge(seen["read_boxes"], edge),
            "part_logits": seen["fixation_logits"],
            "weights": seen["fixation_weights"],
            "objects": from_edge_to_edge(seen["boxes"], edge),
            "found": from_edge_to_edge(seen["found"], edge),
            "views": from_edge_to_edge(
                seen.get("views", np.zeros((count, places, 0, 4), "float32")), edge
            ),
            "refinements": seen["refinements"].astype(int),
            "votes": seen["votes"],
            "reads": seen["reads"][:, 0].astype(int),
            "part_names": tuple(f"fixation {k + 1}" for k in range(places)),
        }

    def _streams(self, seen, classes):
        local = [self._part(seen["local_features"], classes, t) for t in range(self._steps)]
        on_photo = self._whole(seen["global_features"], classes)
        size = max(on_photo.shape[1:] + local[0].shape[1:])
        maps = [paste(each, whole(len(each)), size) for each in (on_photo, *local)]
        box = from_edge_to_edge(seen["box"], self.model.image_size)[:, None]  # (B, 1, 4)
        return {
            "maps": np.stack(maps, axis=1),
            "boxes": np.concatenate(
                [np.tile(WHOLE, (len(box), 1, 1)), np.repeat(box, self._steps, axis=1)], axis=1
            ),
            "part_logits": np.concatenate(
                [seen["global_logits"][:, None], seen["step_logits"]], axis=1
            ),
            "weights": np.concatenate(
                [np.ones((len(box), 1)), self.model.local_weight * seen["step_weights"]], axis=1
            ),
            "part_names": ("global", *(f"step {t + 1}" for t in range(self._steps))),
        }


def from_edge_to_edge(boxes, image_size):
    """Return boxes between pixel centers as fractions of the photo from edge to edge, float32.

    Args:
        boxes: `(…, 4)`; 0 is the center of the first pixel, 1 of the last.
        image_size: side of the image in pixels.

    Returns:
        `(…, 4)`; 0 is the first pixel's outer edge, 1 the last one's.
    """
    return ((np.asarray(boxes) * (image_size - 1) + 0.5) / image_size).astype("float32")


def between_centers(boxes, image_size):
    """Return boxes as `ZoomCrop` takes them, float32: `from_edge_to_edge` undone."""
    return ((np.asarray(boxes) * image_size - 0.5) / (image_size - 1)).astype("float32")
