"""What the model saw at every step, in the image's own frame."""

import dataclasses

import numpy as np

from rra_keras.explain.cam import ClassActivation
from rra_keras.measures.calibration import probabilities
from rra_keras.measures.maps import areas, paste, upsample
from rra_keras.measures.unknown import is_known


@dataclasses.dataclass(frozen=True)
class Explanation:
    """What was seen on `B` images, in `T = looks · steps` steps. NumPy arrays.

    With `looks=0` there is a glance alone: `T = 0`, and `boxes` is `(B, 0, 4)`.

    Example:
        seen = explain.Explainer(model)(images[:2])
        maps = seen.maps_in_image(64)  # (2, 1 + T, 64, 64): the glance, then each step

    Attributes:
        classes: `(B,)`, the class that the maps are evidence for.
        logits: `(B, C)`, the answer.
        scores: `(B,)`, how much each photo is like those of the classes.
        glance_logits: `(B, C)`, what the first view alone says.
        step_logits: `(B, T, C)`, what each step says.
        step_weights: `(B, T)`, the attention on each step; a row adds up to 1.
        boxes: `(B, looks, 4)`, `y0 x0 y1 x1`; 0 is the center of the first pixel, 1 of the last.
        object_boxes: `(B, K, 4)`, where the localizer found the object: in the glance, then in each
            look inside its own box; K = 0 unless it learned to.
        views: `(B, K − 1, 4)`, where those looks were.
        refined: `(B,)`, how many of them the photo needed; the boxes after that are the same.
        glance_map: `(B, h, w)`, evidence on the whole image.
        step_maps: `(B, T, h, w)`, evidence on the crop that each step belongs to.
        look_weight: λ, the steps' share in the answer.
        temperature: what logits are divided by where they become probabilities.
        known_from: the least score of a photo that is of any of the classes; `None` for all.
    """

    classes: np.ndarray
    logits: np.ndarray
    scores: np.ndarray
    glance_logits: np.ndarray
    step_logits: np.ndarray
    step_weights: np.ndarray
    boxes: np.ndarray
    object_boxes: np.ndarray
    views: np.ndarray
    refined: np.ndarray
    glance_map: np.ndarray
    step_maps: np.ndarray
    look_weight: float
    temperature: float
    known_from: float | None = None

    @property
    def looks(self):
        """Looks closer."""
        return self.boxes.shape[1]

    @property
    def step_boxes(self):
        """The box of the look that each step belongs to, `(B, T, 4)`."""
        return np.repeat(self.boxes, self.step_logits.shape[1] // max(self.looks, 1), axis=1)

    def __getitem__(self, index):
        """Return the explanation of some of the images: a slice, a mask or integers."""
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

    def course(self):
        """Return the probabilities on the way to the answer, `(B, 2 + T, C)`.

        The glance alone; the glance with each step in place of all of them; the answer.
        """
        steps = self.glance_logits[:, None] + self.look_weight * self.step_logits  # (B, T, C)
        ends = self.glance_logits[:, None], self.logits[:, None]
        logits = np.concatenate([ends[0], steps, ends[1]], axis=1)
        return probabilities(logits, self.temperature)

    def maps_in_image(self, size):
        """Return the glance's map and each step's in image coordinates.

        Args:
            size: side of the maps in pixels, G; they cover the image edge to edge.

        Returns:
            `(B, 1 + T, G, G)`, zero outside a look's box.
        """
        pasted = [upsample(self.glance_map, size)]
        for step in range(self.step_maps.shape[1]):
            pasted.append(paste(self.step_maps[:, step], self.step_boxes[:, step], size))
        return np.stack(pasted, axis=1)

    def combined_map(self, size):
        """Return the steps' maps, weighed as the attention weighs them, `(B, G, G)`.

        Each is taken by area: evidence that stands in a smaller box is denser there.
        """
        maps = self.maps_in_image(size)[:, 1:]
        shares = self.step_weights / np.maximum(areas(self.step_boxes), 1e-6)  # (B, T)
        return np.einsum("bt,btyx->byx", shares, maps)

    def answer_map(self, size):
        """Return the evidence for the answer as a whole, `(B, G, G)`.

        The answer is the glance's scores and λ times the steps'; so is its map.
        """
        glance = upsample(self.glance_map, size)
        return glance + self.look_weight * self.combined_map(size) if self.looks else glance


class Explainer:
    """Explains what a model saw on batches of images; made once, called often.

    Example:
        explainer = explain.Explainer(model)
        boxes = explainer(images[:2]).boxes  # (2, looks, 4)

    Args:
        model: an `RRAClassifier`, of any preset and any number of looks.
        method: see `ClassActivation`.
        run_eagerly: leave the pass uncompiled: quicker for a single small batch.
    """

    def __init__(self, model, method="gradcam", run_eagerly=False):
        self.model = model
        self._glance = "glance_logits" if model.looks else "logits"
        self._features = [f"look_{look}_features" for look in range(1, model.looks + 1)]
        names = ["logits", "score", self._glance, "glance_features"]
        self._glance_activation = ClassActivation(model, names[-1:], self._glance, method)
        if model.looks:
            # Of several looks, the steps are told where they are.
            held = [f"look_{look}_box" for look in range(1, model.looks + 1) if model.looks > 1]
            names += ["boxes", "step_weights", "step_logits", *self._features, *held]
            self._activation = ClassActivation(model, self._features, "step_logits", method, held)
        if model.learns_where:
            names += ["object_boxes", "refined", *(["views"] if model.framing.refinements else [])]
        self._view = model.view(*dict.fromkeys(names))
        self._view.run_eagerly = run_eagerly

    def __call__(self, images, classes=None):
        """Return the `Explanation` of a batch.

        1. One pass gives the boxes, the logits and the feature maps.
        2. Each step's own score for the class, differentiated by the feature map of its look.

        Args:
            images: `(B, S, S, 3)`, RGB 0…255.
            classes: `(B,)` integers, the class to explain; the one predicted unless given.
        """
        seen = self._view.predict_on_batch(np.asarray(images, "float32"))
        seen = {name: np.asarray(value, "float32") for name, value in seen.items()}
        classes = seen["logits"].argmax(-1) if classes is None else np.asarray(classes)
        count, classes_in_all = seen["logits"].shape
        total = self.model.looks * self.model.steps
        step_maps = [
            self._activation(seen, self._features[step // self.model.steps], classes, step)
            for step in range(total)
        ]
        return Explanation(
            classes=classes,
            logits=seen["logits"],
            scores=seen["score"][:, 0],
            glance_logits=seen[self._glance],
            step_logits=seen.get("step_logits", np.zeros((count, 0, classes_in_all), "float32")),
            step_weights=seen.get("step_weights", np.zeros((count, 0), "float32")),
            boxes=seen.get("boxes", np.zeros((count, 0, 4), "float32")),
            object_boxes=seen.get("object_boxes", np.zeros((count, 0, 4), "float32")),
            views=seen.get("views", np.zeros((count, 0, 4), "float32")),
            refined=seen.get("refined", np.zeros(count, "float32")).astype(int),
            glance_map=self._glance_activation(seen, "glance_features", classes),
            step_maps=(
                np.stack(step_maps, axis=1) if step_maps else np.zeros((count, 0, 1, 1), "float32")
            ),
            look_weight=float(self.model.look_weight),
            temperature=self.model.temperature,
            known_from=self.model.known_from,
        )
