"""The classifier: glance at the whole image, look closer where it tells, decide from both."""

import difflib
import inspect
import warnings

import keras
from keras import ops

from rra_keras.backbones import build_encoder, build_trunk
from rra_keras.layers import BoxLocalizer, KnownScore, Localizer, RecursiveAttention, ZoomCrop
from rra_keras.layers.localizers import make_localizer
from rra_keras.layers.zoom_crop import as_pair
from rra_keras.models.arguments import check_arguments, dtype_policy, revived, serialized
from rra_keras.models.calibrated import CalibratedModel
from rra_keras.models.framing import FAR_VIEWS, FramingLook, refinements_for
from rra_keras.models.heads import (
    as_outputs,
    classifier_layer,
    decide,
    looks_tensors,
    projection_layer,
)
from rra_keras.models.look import Look, Seen, named, shrink
from rra_keras.models.presets import resolve


@keras.saving.register_keras_serializable("rra_keras")
class RRAClassifier(CalibratedModel):
    """Recursively Refined Attention on an ordinary backbone.

    1. Glance: shrink `images` `(B, S, S, 3)`, encode them → `glance_features` `(B, h, w, D)` →
       `glance_logits` `(B, C)`. With `localizer="box"` the encoder's early, frozen layers do it
       alone: where to look needs no more, and the encoder learns from crops, as it is used.
    2. For each look (`Look`): a localizer turns the last feature map and its class scores into a
       box inside the last box; `ZoomCrop` cuts it from the full image; encode → `look_k_features`.
    3. `RecursiveAttention` refines the looks' pooled vectors over `steps` steps each and weighs all
       steps → `look_logits`; with `linear_vote`, plus a linear vote of each look's own features.
    4. `logits = glance_logits + look_weight · look_logits`.

    `fit` takes `(images, labels)`, labels as integers or one-hot. `compile("adam")` alone trains
    `glance_loss_weight` · CE(glance) + `look_loss_weight` · CE(looks). `predict` returns `logits`;
    calling the model returns the dict of all three. `looks=0` is the plain backbone: `logits` only.

    Example:
        model = rra_keras.RRAClassifier("mobilenet", 3, image_size=64, patch_size=32, units=8)
        logits = model.predict(images)  # (N, 3)

    Source: Shroff et al., "Focus Longer to See Better: Recursively Refined Attention for
    Fine-Grained Image Classification", CVPRW 2020 (one look, whose crop is given beforehand).

    Args:
        backbone: name of a backbone (`rra_keras.backbones.backbone_names()`) or a `keras.Model`
            from an image batch to a feature map.
        num_classes: classes `C`, at least 2.
        looks: crops to look at: with `localizer="box"` the object, then parts of it; with others
            each inside the last. 0 is the plain backbone.
        steps: recurrent steps for each look.
        units: width of the LSTM cells.
        image_size: side `S` of the input, pixels; crops are cut at this resolution.
        patch_size: what each crop is resized to, pixels: a side, or `(height, width)`. Boxes have
            its aspect, so that nothing is distorted: wide for what is wide. With `localizer="box"`
            boxes have the object's own aspect, and `"auto"` is 224 until `train.py` knows the
            objects: then it is their shape.
        glance_size: side of the small view of the whole, pixels; `patch_size`'s longer side unless
            given. With `looks=0` the backbone sees `image_size`.
        projection: widths of 1×1 convolutions with ReLU between the glance's features and its
            classifier.
        look_weight: λ, the weight of the looks' logits in the prediction; the glance's is 1.
        look_loss_weight: weight of the looks' loss.
        glance_loss_weight: weight of the glance's loss.
        localizer: what places looks: `"activation"` (looks inside the first one by `"cam"`),
            `"cam"`, `"center"`, `"random"`; `"box"`, which learns the object's frame (`adapt`); a
            dict of such a `name` and arguments of its class, e.g. `{"name": "cam", "spread": 2.2}`;
            or a layer called as a `Localizer`.
        refinements: with `localizer="box"`, most looks of the trunk inside its own box before the
            object is read, see `FramingLook`; by the image's size unless given, one at 448 pixels.
        box_gradient: share of the crops' gradient that passes through the boxes to the localizer.
            Whole, it is 10 to 60 times the glance's own there, and drowns it: none unless
            given. A localizer with weights of its own needs some.
        crop_method: see `ZoomCrop`.
        shared_encoder: encode crops with the same weights as the glance.
        crop_backbone: backbone of the crops' own encoder, if it differs from `backbone`.
        linear_vote: let the looks' pooled features vote linearly beside the attention. Needed to
            localize a second look inside the first.
        train_from: name of the first trainable block of the backbone; all before it is frozen.
        preprocess: layer or function from RGB 0…255 to what a handed-over backbone expects.
        temperature: what logits are divided by where they become probabilities; see the attribute.
        known_from: the least score of a photo of any of the classes; see the attribute.
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
        looks=1,
        steps=4,
        units=256,
        image_size=448,
        patch_size=224,
        glance_size=None,
        projection=(),
        look_weight=1.0,
        look_loss_weight=1.0,
        glance_loss_weight=1.0,
        localizer="cam",
        refinements=None,
        box_gradient=0.0,
        crop_method="auto",
        shared_encoder=True,
        crop_backbone=None,
        linear_vote=True,
        train_from=None,
        preprocess=None,
        temperature=1.0,
        known_from=None,
        weights=None,
        dtype=None,
        name="rra_classifier",
    ):
        arguments = {k: v for k, v in locals().items() if k not in ("self", "__class__")}
        check_arguments(arguments)
        crop_size = as_pair(224 if patch_size == "auto" else patch_size, "patch_size")
        shown_size = image_size if looks == 0 else glance_size or max(crop_size)

        with dtype_policy(dtype):
            # === Layers ===
            options = {
                "weights": None if weights == "random" else weights,
                "train_from": train_from,
                "preprocess": preprocess,
            }
            place = None
            if looks:
                place = make_localizer(localizer, aspect=crop_size[1] / crop_size[0])
            framing = isinstance(place, BoxLocalizer)
            encoder = build_encoder(backbone, fine_features=looks > 0, name="encoder", **options)
            trunk = None
            if framing and train_from is None:  # a copy, which training leaves as it is
                copy = build_encoder(backbone, fine_features=True, name="trunk_encoder", **options)
                trunk = build_trunk(copy)
                trunk.trainable = False
            elif framing:
                trunk = build_trunk(encoder, train_from)
            before_classifier = [projection_layer(width, i) for i, width in enumerate(projection)]
            if framing:  # the trunk's features are of any size, and stay as they are
                norm = keras.layers.BatchNormalization(name="glance_norm")
                before_classifier = [norm, *before_classifier]
            pool = keras.layers.GlobalAveragePooling2D(name="pool")
            glance_classifier = classifier_layer(num_classes, "glance_classifier")
            if looks:
                crop_encoder = encoder
                if not shared_encoder:
                    crop_encoder = build_encoder(
                        crop_backbone or backbone,
                        fine_features=True,
                        name="crop_encoder",
                        **options,
                    )
                inner_place = place
                if isinstance(place, Localizer) and not framing:
                    inner_place = place.inside(name="inner_localizer")
                zoom_crop = ZoomCrop(crop_size, crop_method, name="zoom_crop")
                attention = RecursiveAttention(units, steps, name="recursive_attention")
                step_classifier = classifier_layer(num_classes, "step_classifier")
                vote_classifier = None
                if linear_vote:
                    vote_classifier = classifier_layer(num_classes, "vote_classifier")

            # === Functional model ===
            images = keras.Input((image_size, image_size, 3), name="images")
            view = shrink(images, image_size, shown_size)
            features, fine_features = as_outputs((trunk or encoder)(view))
            features = named(features, "glance_features")
            tensors = {"glance": view, "glance_features": features}
            x = features
            for layer in before_classifier:
                x = layer(x)
            vector = pool(x)  # (B, D)
            logits = glance_classifier(vector)  # (B, C)
            if looks:
                tensors["glance_logits"] = logits
                scores = glance_classifier(x)  # (B, h, w, C)
                layers = {
                    "localizer": place,
                    "inner_localizer": inner_place,
                    "zoom_crop": zoom_crop,
                    "encoder": crop_encoder,
                    "pool": pool,
                    "classifier": vote_classifier,
                    "box_gradient": box_gradient,
                }
                look = Look(**layers)
                if framing:
                    place.trainable = False  # by `adapt` alone, so that its boxes do not drift
                    look = FramingLook(
                        trunk=trunk,
                        zoom_frame=ZoomCrop(shown_size, crop_method, name="zoom_frame"),
                        refinements=(
                            refinements_for(image_size) if refinements is None else refinements
                        ),
                        **layers,
                    )
                glance = Seen(features, fine_features, scores, vector)
                seen = look.closer(images, glance, looks)
                tensors |= looks_tensors(seen)
                if framing:
                    tensors["object_boxes"] = ops.stack(look.object_boxes, axis=1)
                    tensors["refined"] = look.refined
                    if look.views:
                        tensors["views"] = ops.stack(look.views, axis=1)
                tensors |= decide(seen, attention, step_classifier)
                vector = ops.concatenate([look.vector for look in seen], axis=-1)
                logits = logits + look_weight * tensors["look_logits"]
            tensors["logits"], tensors["vector"] = logits, vector
            known_score = KnownScore(name="known_score")
            tensors["score"] = known_score([logits, vector])  # (B, 1)
            streams = ("logits", "glance_logits", "look_logits") if looks else ("logits",)
            super().__init__(
                inputs=images, outputs={stream: tensors[stream] for stream in streams}, name=name
            )
            if dtype is not None:
                self.dtype_policy = keras.dtype_policies.get(dtype)

        # === Config ===
        self.encoder, self.before_classifier, self.pool = encoder, before_classifier, pool
        self.glance_classifier, self.known_score = glance_classifier, known_score
        if looks:
            self.crop_encoder, self.zoom_crop, self.attention = crop_encoder, zoom_crop, attention
            self.localizer, self.inner_localizer = place, inner_place
            self.step_classifier, self.vote_classifier = step_classifier, vote_classifier
            self.framing = look if framing else None
        self.num_classes, self.looks, self.steps = num_classes, looks, steps
        self.image_size, self.patch_size, self.glance_size = image_size, crop_size, shown_size
        self.look_weight = look_weight
        self.streams = streams
        self.trained_streams = {"logits": 1.0}
        if looks:
            self.trained_streams = {
                "glance_logits": glance_loss_weight,
                "look_logits": look_loss_weight,
            }
        self._tensors = tensors
        # Serialized: a model kept as an attribute would count as part of this one.
        self._arguments = {
            **{name: serialized(value) for name, value in arguments.items()},
            "weights": "random",  # a saved model brings its own
        }

    @classmethod
    def from_preset(cls, preset, num_classes, weights="imagenet", **overrides):
        """Build the model that `preset` describes, `overrides` replacing its arguments.

        It is the model that `train.py --preset=… --argument=…` trains (`preset_arguments`).

        Example:
            model = rra_keras.RRAClassifier.from_preset("edge", num_classes=20)
            plain = rra_keras.RRAClassifier.from_preset("edge", num_classes=20, looks=0)

        Raises:
            ValueError: if there is no such preset or no such argument.
        """
        arguments = cls.preset_arguments(preset, **overrides)
        if weights == "imagenet" and isinstance(arguments["backbone"], keras.Model):
            weights = None  # it has its own
        return cls(num_classes=num_classes, weights=weights, **arguments)

    @classmethod
    def check_arguments(cls, **arguments):
        """Raise what the constructor would raise for these, at no cost; the rest is as by default.

        Raises:
            ValueError: naming the argument, what was expected and what came.
        """
        bound = inspect.signature(cls).bind(**{"num_classes": 2, **arguments})
        bound.apply_defaults()
        check_arguments(bound.arguments)

    @classmethod
    def preset_arguments(cls, preset, **overrides):
        """Return the constructor's arguments that a preset with some of them replaced stands for.

        Without `num_classes` and `weights`. See `rra_keras.models.presets.resolve`, whose rules
        hold for Python and for commands alike.

        Raises:
            ValueError: if there is no such preset or no such argument.
        """
        known = set(inspect.signature(cls).parameters) - {"num_classes", "weights"}
        for name in overrides:
            if name not in known:
                nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.0)[0]
                raise ValueError(
                    f"Invalid argument `{name}`. Expected arguments of RRAClassifier, such as "
                    f"`{nearest}`. Received: {name}={overrides[name]!r}"
                )
        return resolve(preset, overrides)

    @property
    def encoders(self):
        """The encoder, and that of the crops where it is another one."""
        own = self.looks and self.crop_encoder is not self.encoder
        return (self.encoder, self.crop_encoder) if own else (self.encoder,)

    @property
    def classifiers(self):
        """The dense layers to class scores."""
        heads = [self.glance_classifier]
        if self.looks:
            heads += [self.step_classifier, self.vote_classifier]
        return tuple(head for head in heads if head is not None)

    @property
    def learns_where(self):
        """Whether the model's localizer learns where objects are (`adapt`)."""
        return bool(self.looks and self.framing)

    def fit(self, *args, **kwargs):
        """Train, as `keras.Model.fit`; warn where `adapt` was to come first."""
        if self.learns_where and not self.localizer.learned:
            warnings.warn(
                "The localizer has not learned where the objects are, so that each look is at the "
                "middle. Call `model.adapt(photos)` before `fit`.",
                stacklevel=2,
            )
        return super().fit(*args, **kwargs)

    def adapt(self, photos, labels=None, seed=0):
        """Learn where the objects are, from photos alone: for `localizer="box"`, before `fit`.

        1. Discover the object in each photo, without a box label (`discover_objects`).
        2. Fit the localizer to find it from a glance, and from a look inside its own box
           (`fit_localizer`); or to show the whole, where the photos hold no one object.

        Some 1,000 photos are enough. The same photos and seed give the same boxes.

        Args:
            photos: `(N, S, S, 3)`, RGB 0…255.
            labels: `(N,)` integers, of the classes; with them it is found out whether the photos
                show one object each at all.
            seed: of everything random.

        Returns:
            `Objects`: what was found in the photos.

        Raises:
            ValueError: if the model's localizer does not learn.
        """
        if not self.learns_where:
            raise ValueError(
                'Invalid model. Expected one with `localizer="box"`, which learns. '
                f"Received: localizer={self._arguments['localizer']!r}, looks={self.looks}"
            )
        from rra_keras.discovery import FRAME, discover_objects, fit_localizer  # they need SciPy

        framing = self.framing
        maps = keras.Model(self.encoder.input, self.encoder.output[:2])
        options = {"size": self.glance_size, "seed": seed}
        objects = discover_objects(maps, framing.trunk, photos, labels, **options)
        if objects.name == FRAME:
            self.localizer.show_whole()
        else:
            self.localizer.trainable = True
            fit_localizer(
                self.localizer,
                framing.trunk,
                photos,
                objects.boxes,
                far_views=max(0, FAR_VIEWS * (framing.refinements - 1)),
                **options,
            )
            self.localizer.trainable = False
        return objects

    def view(self, *names):
        """Return a `keras.Model` from images to a dict of the named intermediates.

        Names: `boxes` `(B, looks, 4)`, `step_weights` `(B, T)`, `states` `(B, T, U)`, `step_logits`
        `(B, T, C)`, `glance` `(B, g, g, 3)`, `glance_features`, `look_k_box` `(B, 4)`,
        `look_k_crop`, `look_k_features`, `look_k_vote`; `vector` `(B, D)`, the pooled features of
        all looks, or of the photo without looks, and `score` `(B, 1)`, how much it is like the
        classes' photos (`KnownScore`); with `localizer="box"` `object_boxes`
        `(B, 1 + refinements, 4)`, `views` `(B, refinements, 4)`, where each looks, and `refined`
        `(B,)`, how many of them were needed; and the outputs.

        Example:
            seen = model.view("boxes", "step_weights").predict(images)
            boxes = seen["boxes"]  # (N, looks, 4)

        Raises:
            ValueError: if there is no such intermediate.
        """
        unknown = [name for name in names if name not in self._tensors]
        if unknown or not names:
            raise ValueError(
                f"Invalid value for argument `names`. Expected some of {sorted(self._tensors)}. "
                f"Received: {unknown or names}"
            )
        return keras.Model(self.inputs[0], {name: self._tensors[name] for name in names})

    def get_config(self):
        return dict(self._arguments)

    @classmethod
    def from_config(cls, config):
        return cls(**revived(config))
