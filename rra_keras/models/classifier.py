"""The classifier: glance at the whole image, look closer where it tells, decide from both."""

import copy
import inspect

import keras
from keras import ops

from rra_keras.backbones import build_encoder
from rra_keras.layers import RecursiveAttention, ZoomCrop
from rra_keras.layers.boxes import box_in_box, scale_gradient
from rra_keras.layers.localizers import LOCALIZERS
from rra_keras.layers.zoom_crop import as_pair
from rra_keras.models.presets import PRESETS
from rra_keras.models.streams import StreamModel


@keras.saving.register_keras_serializable("rra_keras")
class RRAClassifier(StreamModel):
    """Recursively Refined Attention on an ordinary backbone.

    1. Shrink `images` `(B, S, S, 3)` to a view, encode it → `glance_features` `(B, h, w, D)` →
       `glance_logits` `(B, C)`.
    2. For each look: a localizer turns the last feature map and its class scores into a box inside
       the last box; `ZoomCrop` cuts it from the full image; encode → `look_k_features`.
    3. `RecursiveAttention` refines the looks' pooled vectors over `steps` steps each and weighs all
       steps → `look_logits`; with `linear_vote`, plus a linear vote of each look's own features.
    4. `logits = glance_logits + look_weight · look_logits`.

    `fit` takes `(images, labels)`, labels as integers or one-hot. `compile("adam")` alone trains
    CE(global) + λ·CE(local), λ being `look_weight`. `predict` returns `logits`; calling the model
    returns the dict of all three. `looks=0` is the plain backbone: `logits` only.

    Source: Shroff et al., "Focus Longer to See Better: Recursively Refined Attention for
    Fine-Grained Image Classification", CVPRW 2020 (one look, whose crop is given beforehand).

    Args:
        backbone: name of a backbone (`rra_keras.backbones.backbone_names()`) or a `keras.Model`
            from an image batch to a feature map.
        num_classes: classes `C`, at least 2.
        looks: crops to look at, one inside the other.
        steps: recurrent steps for each look.
        units: width of the LSTM cells.
        image_size: side `S` of the input, pixels; crops are cut at this resolution.
        patch_size: what each crop is resized to, pixels: a side, or `(height, width)`. Boxes have
            its aspect, so that nothing is distorted: wide for what is wide.
        glance_size: side of what the first encoder sees, pixels; `patch_size`'s longer side unless
            given. With `looks=0` the backbone sees `image_size`.
        projection: widths of 1×1 convolutions with ReLU after the first encoder.
        look_weight: λ, the local stream's weight in the loss and in the prediction.
        localizer: `"activation"` (looks inside the first one by `"cam"`), `"cam"`, `"center"`,
            `"random"`, or a layer called as `localizer(features, scores)` that returns boxes
            `(B, 4)`, `y0 x0 y1 x1` in [0, 1]. If its call takes `fine_features`, that is the encoder's last
            feature map before the final downsampling.
        box_gradient: share of the crops' gradient that passes through the boxes to the localizer.
            Whole, it is 10 to 60 times the global stream's own there, and drowns it: none unless
            given. A localizer with weights of its own needs some.
        detach_glance: train the encoder by the local stream alone: of the global stream only its
            classifier learns, and the loss is CE(global) / λ + CE(local). Objects have another size
            in the view than in a crop, and the two losses pull a shared encoder apart.
        crop_method: see `ZoomCrop`.
        shared_encoder: encode crops with the same weights as the view.
        crop_backbone: backbone of the crops' own encoder, if it differs from `backbone`.
        linear_vote: let the looks' pooled features vote linearly beside the attention. Needed to localize
            a second look inside the first.
        train_from: name of the first trainable block of the backbone; all before it is frozen.
        preprocess: layer or function from RGB 0…255 to what a handed-over backbone expects.
        weights: backbone weights: `None`, `"imagenet"` or a weights file.
        name: the model's name.

    Raises:
        ValueError: if an argument is out of range or arguments contradict one another.
    """

    def __init__(
        self,
        backbone,
        num_classes,
        looks=1,
        steps=4,
        units=256,
        image_size=448,
        patch_size=224,
        glance_size=None,
        projection=(),
        look_weight=1.0,
        localizer="cam",
        box_gradient=0.0,
        detach_glance=False,
        crop_method="auto",
        shared_encoder=True,
        crop_backbone=None,
        linear_vote=True,
        train_from=None,
        preprocess=None,
        weights=None,
        name="rra_classifier",
    ):
        patch_size = as_pair(patch_size)
        glance_size = image_size if looks == 0 else glance_size or max(patch_size)
        _check_sizes(num_classes, looks, image_size, patch_size, glance_size)
        if crop_backbone and shared_encoder:
            raise ValueError(
                "Invalid value for argument `crop_backbone`. A shared encoder has one backbone: "
                f"pass `shared_encoder=False`. Received: crop_backbone={crop_backbone!r}"
            )
        if looks > 1 and not linear_vote:
            raise ValueError(
                "Invalid value for argument `linear_vote`. A second look is placed by the first one's "
                f"class scores, which need `linear_vote=True`. Received: linear_vote={linear_vote}, looks={looks}"
            )

        # === Layers ===
        encoder_options = {
            "weights": weights,
            "train_from": train_from,
            "preprocess": preprocess,
        }
        encoder = build_encoder(
            backbone, fine_features=looks > 0, name="encoder", **encoder_options
        )
        projections = [
            keras.layers.Conv2D(
                width,
                1,
                activation="relu",
                kernel_initializer=keras.initializers.VarianceScaling(2.0, "fan_out"),
                name=f"projection_{i}",
            )
            for i, width in enumerate(projection)
        ]
        pool = keras.layers.GlobalAveragePooling2D(name="pool")
        glance_classifier = _classifier_layer(num_classes, "glance_classifier")
        if looks:
            crop_encoder = encoder
            if not shared_encoder:
                crop_encoder = build_encoder(
                    crop_backbone or backbone,
                    fine_features=True,
                    name="crop_encoder",
                    **encoder_options,
                )
            localize = _localizer_layer(localizer, aspect=patch_size[1] / patch_size[0])
            # Inside the object's box it is the evidence that tells where to look. A crop has its
            # box's aspect already: inside it, an even box keeps it.
            inside = "cam" if localizer == "activation" else localizer
            localize_inside = _localizer_layer(inside, aspect=1.0, name="localizer_inside")
            zoom = ZoomCrop(patch_size, crop_method, name="zoom_crop")
            attention = RecursiveAttention(units, steps, name="recursive_attention")
            step_classifier = _classifier_layer(num_classes, "step_classifier")
            vote_classifier = (
                _classifier_layer(num_classes, "vote_classifier") if linear_vote else None
            )

        # === Functional model ===
        images = keras.Input((image_size, image_size, 3), name="images")
        view = _shrink(images, image_size, glance_size)
        features, fine_features = encoder(view) if looks else (encoder(view), None)
        if detach_glance:
            features = ops.stop_gradient(features)
        tensors = {"glance_features": _named(features, "glance_features")}
        features = tensors["glance_features"]
        for layer in projections:
            features = layer(features)
        logits = glance_classifier(pool(features))  # (B, C)
        if looks:
            tensors["glance_logits"] = glance_logits = logits
            scores = glance_classifier(features)  # (B, h, w, C)
            boxes, vectors, votes = [], [], []
            for look in range(1, looks + 1):
                place = localize_inside if boxes else localize
                more = {"fine_features": fine_features} if _takes_finer(place) else {}
                box = place(features, scores, **more)  # (B, 4), inside the last look
                box = scale_gradient(box, box_gradient)
                box = box_in_box(boxes[-1], box) if boxes else box
                boxes.append(_named(box, f"look_{look}_box"))
                crop = _named(zoom([images, boxes[-1]]), f"look_{look}_crop")
                features, fine_features = crop_encoder(crop)
                features = _named(features, f"look_{look}_features")
                vectors.append(pool(features))  # (B, D)
                if linear_vote:
                    votes.append(vote_classifier(vectors[-1]))
                    scores = vote_classifier(features)
                tensors |= {f"look_{look}_crop": crop, f"look_{look}_features": features}
                tensors[f"look_{look}_box"] = boxes[-1]
            aggregate, states, weights_over_steps = attention(vectors)
            look_logits = step_classifier(aggregate)
            step_logits = step_classifier(states)  # (B, T, C)
            if linear_vote:
                vote = keras.layers.average(votes) if looks > 1 else votes[0]
                look_logits = look_logits + vote
                step_logits = step_logits + ops.expand_dims(vote, 1)
            logits = glance_logits + look_weight * look_logits
            tensors |= {
                "boxes": ops.stack(boxes, axis=1),  # (B, looks, 4)
                "states": states,
                "step_weights": weights_over_steps,
                "step_logits": step_logits,
                "look_logits": look_logits,
            }
        tensors["logits"] = logits
        streams = ("logits", "glance_logits", "look_logits") if looks else ("logits",)
        super().__init__(
            inputs=images, outputs={stream: tensors[stream] for stream in streams}, name=name
        )

        # === Config ===
        self.num_classes = num_classes
        self.looks = looks
        self.steps = steps
        self.image_size = image_size
        self.patch_size = patch_size
        self.glance_size = glance_size
        self.look_weight = look_weight
        self.streams = streams
        self.trained_streams = {stream: 1.0 for stream in streams[1:] or streams}
        if looks and detach_glance:
            # The same ratio; the encoder learns at the plain backbone's rate.
            self.trained_streams["glance_logits"] = 1.0 / look_weight
        elif looks:
            self.trained_streams["look_logits"] = look_weight
        self._tensors = tensors
        # Serialized: a model kept as an attribute would count as part of this one.
        self._arguments = {
            "backbone": _serialized(backbone),
            "num_classes": num_classes,
            "looks": looks,
            "steps": steps,
            "units": units,
            "image_size": image_size,
            "patch_size": patch_size,
            "glance_size": glance_size,
            "projection": tuple(projection),
            "look_weight": look_weight,
            "localizer": _serialized(localizer),
            "box_gradient": box_gradient,
            "detach_glance": detach_glance,
            "crop_method": crop_method,
            "shared_encoder": shared_encoder,
            "crop_backbone": _serialized(crop_backbone),
            "linear_vote": linear_vote,
            "train_from": train_from,
            "preprocess": _serialized(preprocess),
            "weights": None,  # a saved model brings its own
        }

    @classmethod
    def from_preset(cls, preset, num_classes, weights=None, **overrides):
        """Build the model that `preset` describes, `overrides` replacing its arguments.

        Raises:
            ValueError: if there is no such preset.
        """
        if preset not in PRESETS:
            raise ValueError(
                f"Invalid value for argument `preset`. Expected one of {sorted(PRESETS)}. "
                f"Received: preset={preset!r}"
            )
        return cls(num_classes=num_classes, weights=weights, **PRESETS[preset].model | overrides)

    def view(self, *names):
        """Return a `keras.Model` from images to a dict of the named intermediates.

        Names: `boxes` `(B, looks, 4)`, `step_weights` `(B, T)`, `states` `(B, T, U)`, `step_logits`
        `(B, T, C)`, `look_k_features`, `look_k_crop`, and the outputs.

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
        return {**self._arguments, "name": self.name}

    @classmethod
    def from_config(cls, config):
        revived = {
            # A copy, because Keras takes nested configs apart as it reads them.
            key: keras.saving.deserialize_keras_object(copy.deepcopy(config[key]))
            for key in ("backbone", "localizer", "crop_backbone", "preprocess")
            if isinstance(config.get(key), dict)
        }
        return cls(**config | revived)


def _check_sizes(num_classes, looks, image_size, patch_size, glance_size):
    for name, value, least in (
        ("num_classes", num_classes, 2),
        ("looks", looks, 0),
        ("image_size", image_size, 1),
        ("patch_size", min(patch_size), 1),
        ("glance_size", glance_size, 1),
    ):
        if value < least:
            raise ValueError(
                f"Invalid value for argument `{name}`. Expected at least {least}. "
                f"Received: {name}={value}"
            )
    if glance_size > image_size:
        raise ValueError(
            "Invalid value for argument `glance_size`. Expected at most `image_size`. Received: "
            f"glance_size={glance_size}, image_size={image_size}"
        )


def _shrink(images, image_size, glance_size):
    """Shrink the image to the view: by averaging whole pixels, then bilinearly."""
    factor = max(f for f in range(1, image_size // glance_size + 1) if image_size % f == 0)
    if factor > 1:
        images = keras.layers.AveragePooling2D(factor, name="shrink")(images)
    if image_size // factor != glance_size:
        images = keras.layers.Resizing(glance_size, glance_size, name="view")(images)
    return images


def _classifier_layer(num_classes, name):
    initializer = keras.initializers.RandomNormal(stddev=0.01)
    # Logits stay float32 under mixed precision.
    return keras.layers.Dense(
        num_classes, kernel_initializer=initializer, dtype="float32", name=name
    )


def _localizer_layer(localizer, aspect, name="localizer"):
    if isinstance(localizer, keras.layers.Layer):
        return localizer
    if localizer not in LOCALIZERS:
        raise ValueError(
            f"Invalid value for argument `localizer`. Expected one of {sorted(LOCALIZERS)} or a "
            f"layer. Received: localizer={localizer!r}"
        )
    return LOCALIZERS[localizer](aspect=aspect, name=name)


def _takes_finer(localizer):
    return "fine_features" in inspect.signature(localizer.call).parameters


def _named(tensor, name):
    """Give an intermediate a name to address it by, in the graph and by Grad-CAM."""
    return keras.layers.Identity(dtype=tensor.dtype, name=name)(tensor)  # of boxes, no half floats


def _serialized(value):
    """Return what `get_config` holds for a name, or for an object."""
    if value is None or isinstance(value, str):
        return value
    return keras.saving.serialize_keras_object(value)
