"""The paper's network: a global and a local stream, and attention over recurrent steps."""

import keras
from keras import ops

from rra_keras.backbones import build_encoder
from rra_keras.layers import Calibration, CamLocalizer, StepAttention, ZoomCrop
from rra_keras.layers.zoom_crop import as_pair
from rra_keras.models.arguments import dtype_policy, revived, serialized
from rra_keras.models.base import Accuracy, Classifier, CrossEntropy, classifier_layer, named
from rra_keras.models.presets import preset_model


@keras.saving.register_keras_serializable("rra_keras")
class TwoStreamClassifier(Classifier):
    """The two streams of Shroff et al., each with a loss of its own.

    1. Global: photo → encoder → 1×1 convolutions of `projection` channels, ReLU → pool → dense →
       `global_logits` `(B, C)`.
    2. The class scores of each position place the patch (`CamLocalizer`). The reference draws one
       of ten patches that were found beforehand, at random, in the test too.
    3. Local: patch → an encoder of its own → pool → `StepAttention` over `steps` steps → dense →
       `local_logits` `(B, C)`.
    4. `logits` = global + `local_weight` · local. The loss is that of the global stream plus
       `local_weight` times that of the local one.

    Its outputs are a dict of the three; `predict` returns `logits`. `view(names)` also knows
    `box` `(B, 4)`, `crop`, `global_features`, `local_features`, `states` `(B, T, U)`,
    `step_logits` `(B, T, C)`, `step_weights` `(B, T)`, `vector` and `score` (see `RRAClassifier`).

    Args:
        backbone: of the global stream, see `RRAClassifier`.
        num_classes: classes `C`.
        local_backbone: of the local stream.
        image_size: side of the photo, pixels.
        crop_size: side of the patch, pixels.
        projection: widths of the 1×1 convolutions.
        units: width of the LSTM cells.
        steps: recurrent steps `T`.
        local_weight: λ.
        crop_method: see `ZoomCrop`.
        weights: see `RRAClassifier`.
        dtype: dtype policy to compute by; Keras' own unless given.
        name: the model's name.

    Example:
        model = models.paper.TwoStreamClassifier(
            "mobilenet", 3, local_backbone="mobilenet", image_size=64, crop_size=32, units=8
        )
        logits = model.predict(images, verbose=0)  # (9, 3)

    Source: Shroff et al., "Focus Longer to See Better" (CVPRW 2020), and its reference code.
    """

    accuracy_name = "logits_accuracy"
    attention = None  # over fixations: it has one patch

    def __init__(
        self,
        backbone,
        num_classes,
        *,
        local_backbone,
        image_size=448,
        crop_size=224,
        projection=(),
        units=512,
        steps=10,
        local_weight=1.0,
        crop_method="auto",
        weights=None,
        dtype=None,
        name="two_stream_classifier",
    ):
        arguments = {k: v for k, v in locals().items() if k not in ("self", "__class__")}
        crop_size = as_pair(crop_size, "crop_size")

        with dtype_policy(dtype):
            # === Layers ===
            options = {"weights": None if weights == "random" else weights}
            global_encoder = build_encoder(backbone, name="global_encoder", **options)
            local_encoder = build_encoder(local_backbone, name="local_encoder", **options)
            projections = [_projection(width, i) for i, width in enumerate(projection)]
            pool = keras.layers.GlobalAveragePooling2D(name="pool")
            global_classifier = classifier_layer(num_classes, "global_classifier")
            local_classifier = classifier_layer(num_classes, "local_classifier")
            localizer = CamLocalizer(aspect=crop_size[1] / crop_size[0], name="localizer")
            zoom_crop = ZoomCrop(crop_size, crop_method, name="zoom_crop")
            step_attention = StepAttention(units, steps, name="step_attention")
            calibration = Calibration(name="calibration")

            # === Functional model ===
            images = keras.Input((image_size, image_size, 3), name="images")
            global_features = named(global_encoder(images), "global_features")
            x = global_features
            for layer in projections:
                x = layer(x)
            global_logits = global_classifier(pool(x))  # (B, C)
            box = named(ops.stop_gradient(localizer(global_classifier(x))), "box")  # (B, 4)
            crop = named(zoom_crop([images, box]), "crop")
            local_features = named(local_encoder(crop), "local_features")
            vector = pool(local_features)  # (B, D)
            aggregate, states, step_weights = step_attention(vector)
            local_logits = local_classifier(aggregate)  # (B, C)
            logits = global_logits + local_weight * local_logits
            outputs = {
                "logits": logits,
                "global_logits": global_logits,
                "local_logits": local_logits,
            }
            tensors = {
                **outputs,
                "box": box,
                "crop": crop,
                "global_features": global_features,
                "local_features": local_features,
                "states": states,
                "step_logits": local_classifier(states),  # (B, T, C)
                "step_weights": step_weights,
                "vector": vector,
                "score": calibration([logits, vector]),
            }
            super().__init__(images, outputs, name=name)
            if dtype is not None:
                self.dtype_policy = keras.dtype_policies.get(dtype)

        # === Config ===
        self.encoders = (global_encoder, local_encoder)
        self.classifiers = (global_classifier, local_classifier)
        self.calibration, self.zoom_crop, self.steps = calibration, zoom_crop, steps
        self.num_classes, self.image_size, self.crop_size = num_classes, image_size, crop_size
        self.local_weight = local_weight
        self._tensors = tensors
        self._arguments = {
            **{name: serialized(value) for name, value in arguments.items()},
            "weights": "random",  # a saved model brings its own
        }

    @classmethod
    def from_preset(cls, preset, num_classes, weights="imagenet", **overrides):
        """Build the model that a preset describes; see `RRAClassifier.from_preset`."""
        return cls(num_classes=num_classes, weights=weights, **preset_model(preset, cls, overrides))

    def compile(self, optimizer="rmsprop", loss="auto", metrics="auto", **kwargs):
        """Configure training: a loss on logits is that of each stream."""
        loss = CrossEntropy() if loss == "auto" else loss
        if loss is not None and not isinstance(loss, dict):
            loss = {"global_logits": loss, "local_logits": loss}
            kwargs.setdefault(
                "loss_weights", {"global_logits": 1.0, "local_logits": self.local_weight}
            )
        if metrics == "auto":
            metrics = {"logits": [Accuracy()]}
        super().compile(optimizer, loss, metrics, **kwargs)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Compare both streams with the same labels."""
        return super().compute_loss(x, self._spread(y), y_pred, sample_weight, training)

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """Measure every output on the same labels."""
        return super().compute_metrics(x, self._spread(y), y_pred, sample_weight)

    def _spread(self, labels):
        return dict.fromkeys(("logits", "global_logits", "local_logits"), labels)

    def predict(self, x, **kwargs):
        """Return the logits `(N, C)` as NumPy; arguments as in `keras.Model.predict`."""
        return super().predict(x, **kwargs)["logits"]

    def predict_on_batch(self, x):
        """Return the logits `(B, C)` of one batch, as NumPy."""
        return super().predict_on_batch(x)["logits"]

    @classmethod
    def from_config(cls, config):
        return cls(**revived(config))


def _projection(width, index):
    """Return a 1×1 convolution of the paper's, before the global classifier."""
    return keras.layers.Conv2D(
        width,
        1,
        activation="relu",
        kernel_initializer=keras.initializers.VarianceScaling(2.0, "fan_out"),
        name=f"projection_{index}",
    )
