"""The classifier: glance at the photo, refine where the object is, read it."""

import keras

from rra_keras.backbones import build_encoder, build_trunk
from rra_keras.layers import (
    BoxJitter,
    Calibration,
    FixationAttention,
    RecursiveAttention,
    ZoomCrop,
)
from rra_keras.layers.boxes import grow_box, snap_box
from rra_keras.layers.recursive_attention import (
    glance_size_for,
    localizer_for,
    refinements_for,
    view_size_for,
)
from rra_keras.layers.zoom_crop import as_pair
from rra_keras.models.arguments import check_arguments, dtype_policy, revived, serialized
from rra_keras.models.base import Classifier, classifier_layer, named
from rra_keras.models.presets import preset_model

READ_MARGIN = 0.1  # of an object's height and width, added before it is read


@keras.saving.register_keras_serializable("rra_keras")
class RRAClassifier(Classifier):
    """Recursively Refined Attention on an ordinary backbone: a functional model to logits.

    1. `RecursiveAttention` glances at the photo `(B, S, S, 3)` and refines the places where an
       object may be → boxes `(B, K, 4)`, one for each fixation. It uses the encoder's early, frozen
       layers, the *trunk*, and a localizer that learned from `find_objects`.
    2. Each box, grown by a tenth, is cropped from the full-resolution photo (`box_to_read`). In
       training it is moved at random (`BoxJitter`), and only the first fixation is read.
    3. Read: encoder → pool → dense → logits of each fixation.
    4. `FixationAttention` weighs the fixations → logits `(B, C)`.

    With `localizer=None` it is the plain backbone: the encoder sees the whole photo.

    `fit` takes `(photos, labels)`; labels are integers `(B,)` or one-hot. `compile("adam")` alone
    trains the cross-entropy of the logits.

    `view(names)` gives intermediates: `logits` `(B, C)`; `score` `(B, 1)`, how much the photo is
    like the classes' photos (`Calibration`); `vector` `(K · B, D)`, pooled features, and `features`
    `(K · B, h, w, D)` of what was read, the first fixation of every photo first; with a localizer
    also `glance`, `boxes`, `votes`, `distinct`, `refinements`, `found`, `views` as of
    `RecursiveAttention`; `read_boxes` `(B, K, 4)`, what was read, and `crops` `(K · B, h, w, 3)`;
    `fixation_logits` `(B, K, C)`, `fixation_scores` and `fixation_weights` `(B, K)`, and `reads`
    `(B, 1)`, how many fixations it took to be sure.

    Example:
        objects = rra_keras.find_objects(images, labels, "mobilenet", weights="random")
        model = rra_keras.RRAClassifier(
            "mobilenet", 3, image_size=64, crop_size=32, glance_size=32
        )
        model.compile("adam")
        model.fit(images, labels, verbose=0)
        logits = model.predict(images, verbose=0)  # (9, 3)

    Source: Shroff et al., "Focus Longer to See Better: Recursively Refined Attention for
    Fine-Grained Image Classification" (CVPRW 2020).

    Args:
        backbone: name of a backbone (`rra_keras.backbones.backbone_names()`) or a `keras.Model`
            from an image batch to a feature map.
        num_classes: classes `C`, at least 2.
        image_size: side `S` of the input, pixels; crops are cut at this resolution.
        crop_size: what is read, pixels: a side, or `(height, width)` in the objects' shape.
        glance_size: side of the glance, pixels; by the photo's size unless given: 128, and 384 for
            photos of 896 pixels and more. Closer views have as many, but 192 at
            most if the localizer is `"box"`.
        localizer: `"box"` for a `BoxLocalizer`; a layer that `RecursiveAttention` takes; or `None`
            for the plain backbone.
        max_refinements: most closer views of an object; by the photo's size unless given, one at
            448 pixels.
        max_fixations: most places of a photo that are read.
        train_from: name of the first trainable block of the backbone; all before it is frozen, and
            is the trunk. `None` trains the whole encoder, with a frozen copy as the trunk.
        preprocess: layer from RGB 0…255 to what a handed-over backbone expects.
        crop_method: see `ZoomCrop`.
        answer: `"one"` of the classes, by softmax; or `"any"` number of them, by sigmoids: labels
            are then 0 and 1, `(B, C)`, all fixations are read in training too, and each class is
            what its surest fixation says.
        weights: backbone weights: `"imagenet"`, a weights file, or `"random"`. `None` is random as
            well, but refused where `train_from` would freeze a named backbone's random weights.
        dtype: dtype policy to compute by, e.g. `"mixed_bfloat16"`; Keras' own unless given.
        name: the model's name.

    Raises:
        ValueError: if an argument is out of range or arguments contradict one another.
    """

    def __init__(
        self,
        backbone,
        num_classes,
        *,
        image_size=448,
        crop_size=224,
        glance_size=None,
        localizer="box",
        max_refinements=None,
        max_fixations=4,
        train_from=None,
        preprocess=None,
        crop_method="auto",
        answer="one",
        weights=None,
        dtype=None,
        name="rra_classifier",
    ):
        arguments = {k: v for k, v in locals().items() if k not in ("self", "__class__")}
        check_arguments(arguments)
        crop_size = as_pair(crop_size, "crop_size")
        if glance_size is None:
            glance_size = glance_size_for(image_size)
        if max_refinements is None:
            max_refinements = refinements_for(image_size)

        with dtype_policy(dtype):
            # === Layers ===
            options = {
                "weights": None if weights == "random" else weights,
                "preprocess": preprocess,
            }
            encoder = build_encoder(
                backbone,
                train_from=train_from,
                fine_features=localizer is not None,
                name="encoder",
                **options,
            )
            pool = keras.layers.GlobalAveragePooling2D(name="pool")
            classifier = classifier_layer(num_classes, "classifier")
            calibration = Calibration(answer=answer, name="calibration")
            attention = None
            if localizer is not None:
                if train_from is None:
                    copy = build_encoder(backbone, fine_features=True, name="trunk", **options)
                    trunk = build_trunk(copy)
                    trunk.trainable = False
                else:
                    trunk = build_trunk(encoder, train_from)
                view_size = glance_size  # a layer may know maps of one size only
                if localizer == "box":
                    view_size = view_size_for(glance_size)
                    localizer = localizer_for(trunk, glance_size, view_size)
                attention = RecursiveAttention(
                    trunk,
                    localizer,
                    glance_size,
                    max_refinements,
                    max_fixations,
                    crop_method,
                    train_fixations=max_fixations if answer == "any" else 1,
                    view_size=view_size,
                    name="recursive_attention",
                )
                localizer.trainable = True  # all of it, whatever it was, and then none of it:
                localizer.trainable = False  # it learns from boxes, in `find_objects`
                jitter = BoxJitter(name="box_jitter")
                zoom_crop = ZoomCrop(crop_size, crop_method, name="zoom_crop")
                fixation_attention = FixationAttention(answer, name="fixation_attention")

            # === Functional model ===
            images = keras.Input((image_size, image_size, 3), name="images")
            tensors = {}
            seen = images
            if attention:
                tensors = dict(attention(images))
                boxes = jitter(box_to_read(tensors["boxes"]))  # (B, K, 4)
                tensors["read_boxes"] = named(boxes, "read_boxes")
                tensors["crops"] = seen = named(zoom_crop([images, boxes]), "crops")
            features = encoder(seen)
            features = features[0] if isinstance(features, (list, tuple)) else features
            tensors["features"] = features = named(features, "features")  # (K · B, h, w, D)
            tensors["vector"] = vector = pool(features)  # (K · B, D)
            logits = classifier(vector)  # (K · B, C)
            score = calibration([logits, vector])  # (K · B, 1)
            if attention:
                joined = fixation_attention([logits, score, tensors["distinct"]])
                logits, score = joined.pop("logits"), joined.pop("score")
                tensors |= {"fixation_weights": joined.pop("weights"), **joined}
            tensors["score"] = score
            tensors["logits"] = logits
            super().__init__(images, logits, name=name)
            if dtype is not None:
                self.dtype_policy = keras.dtype_policies.get(dtype)

        # === Config ===
        self.encoder, self.pool, self.classifier = encoder, pool, classifier
        self.calibration, self.attention = calibration, attention
        if attention:
            self.zoom_crop, self.fixation_attention = zoom_crop, fixation_attention
        self.num_classes, self.image_size, self.crop_size = num_classes, image_size, crop_size
        self.answer = answer
        self.accuracy_name = "mean_ap" if answer == "any" else "accuracy"
        self._tensors = tensors
        # Serialized: a model kept as an attribute would count as part of this one.
        self._arguments = {
            **{name: serialized(value) for name, value in arguments.items()},
            "weights": "random",  # a saved model brings its own
        }

    @classmethod
    def from_preset(cls, preset, num_classes, objects=None, weights="imagenet", **overrides):
        """Build the model that a preset describes, for the objects that were found.

        What was found sets the shape of the crop and the localizer's weights, or that the photos
        are better read whole: then it is the plain backbone at about the same cost.

        Example:
            model = rra_keras.RRAClassifier.from_preset("edge", num_classes=20)
            plain = rra_keras.RRAClassifier.from_preset("edge", num_classes=20, localizer=None)

        Args:
            preset: a name in `rra_keras.models.presets.PRESETS`, of this class.
            num_classes: classes `C`.
            objects: what `rra_keras.find_objects` returned.
            weights: see the class.
            **overrides: arguments of the class that replace the preset's.

        Raises:
            ValueError: if there is no such preset or no such argument.
        """
        found = objects.arguments(overrides) if objects else {}
        arguments = preset_model(preset, cls, {**found, **overrides})
        if weights == "imagenet" and isinstance(arguments["backbone"], keras.Model):
            weights = None  # it has its own
        model = cls(num_classes=num_classes, weights=weights, **arguments)
        if objects:
            objects.teach(model)
        return model

    @property
    def encoders(self):
        """The networks that training updates."""
        return (self.encoder,)

    @property
    def classifiers(self):
        """The dense layers to class scores."""
        return (self.classifier,)

    @classmethod
    def from_config(cls, config):
        return cls(**revived(config))


def box_to_read(boxes):
    """Return where objects of boxes `(…, 4)` are read: a tenth larger, on a grid (`snap_box`)."""
    return snap_box(grow_box(boxes, READ_MARGIN))
