"""What the classifiers share: how they are compiled, and their intermediates by name."""

import keras
from keras import ops

from rra_keras.models.checks import checked, told_as_value_errors

_ON_PROBABILITIES = (
    "binary_crossentropy",
    "categorical_crossentropy",
    "sparse_categorical_crossentropy",
)


@keras.saving.register_keras_serializable("rra_keras")
class CrossEntropy(keras.losses.Loss):
    """Softmax cross-entropy of logits, with labels in either form.

    Args:
        label_smoothing: share of each label that is spread over all classes, in [0, 1).
        name: the loss's name.
        **kwargs: `keras.losses.Loss`' own.

    Call arguments:
        y_true: integers `(B,)` or `(B, 1)`, or a distribution over the classes, `(B, C)`.
        y_pred: logits `(B, C)`.

    A label that is of no class makes the loss NaN.

    Example:
        loss = models.base.CrossEntropy()(np.array([0, 2]), np.zeros((2, 3)))  # log 3
    """

    def __init__(self, label_smoothing=0.0, name="cross_entropy", **kwargs):
        super().__init__(name=name, **kwargs)
        self.label_smoothing = label_smoothing

    def call(self, y_true, y_pred):
        classes = y_pred.shape[-1]
        y_true = _as_vector_or_one_hot(y_true, y_pred)
        if len(y_true.shape) == 1:
            label = ops.cast(y_true, "int32")
            y_true = ops.one_hot(label, classes, dtype=y_pred.dtype)
            # A label of no class would teach nothing, in silence.
            of_none = ops.logical_or(label < 0, label >= classes)[:, None]
            y_true = ops.where(of_none, float("nan"), y_true)
        y_true = ops.cast(y_true, y_pred.dtype)
        y_true = (1.0 - self.label_smoothing) * y_true + self.label_smoothing / classes
        return -ops.sum(y_true * ops.log_softmax(y_pred, axis=-1), axis=-1)

    def get_config(self):
        return {**super().get_config(), "label_smoothing": self.label_smoothing}


@keras.saving.register_keras_serializable("rra_keras")
class BinaryCrossEntropy(keras.losses.Loss):
    """Sigmoid cross-entropy of logits, summed over classes: a photo may be of any number.

    Args:
        label_smoothing: by how much of it labels are drawn toward 0.5, in [0, 1).
        positive_weights: `C` numbers: how much more a photo of a class counts than one of others;
            1 unless given.
        name: the loss's name.
        **kwargs: `keras.losses.Loss`' own.

    Call arguments:
        y_true: `(B, C)` of 0 and 1.
        y_pred: logits `(B, C)`.

    Example:
        loss = models.base.BinaryCrossEntropy()(np.array([[0, 1]]), np.zeros((1, 2)))  # 2 log 2
    """

    def __init__(
        self, label_smoothing=0.0, positive_weights=None, name="binary_cross_entropy", **kwargs
    ):
        super().__init__(name=name, **kwargs)
        self.label_smoothing = label_smoothing
        self.positive_weights = positive_weights

    def call(self, y_true, y_pred):
        y_true = ops.cast(y_true, y_pred.dtype)
        weight = 1.0
        if self.positive_weights is not None:
            more = ops.convert_to_tensor(self.positive_weights, y_pred.dtype)
            weight = 1.0 + (more - 1.0) * y_true
        y_true = (1.0 - self.label_smoothing) * y_true + self.label_smoothing / 2
        losses = ops.binary_crossentropy(y_true, y_pred, from_logits=True)
        return ops.sum(weight * losses, axis=-1)

    def get_config(self):
        own = {"label_smoothing": self.label_smoothing, "positive_weights": self.positive_weights}
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable("rra_keras")
class MeanAveragePrecision(keras.metrics.AUC):
    """The area under the precision-recall curve of each class, averaged, of logits `(B, C)`.

    By 200 thresholds, so that it fits into batches; `rra_keras.measures.multilabel` has the exact
    one.

    Args:
        num_classes: C.
        name: the metric's name.
        dtype: its dtype; Keras' own unless given.

    Example:
        metric = models.base.MeanAveragePrecision(2)
        metric.update_state(np.eye(2), 9 * np.eye(2) - 5)
    """

    def __init__(self, num_classes, name="mean_ap", dtype=None):
        self.num_classes = num_classes
        super().__init__(
            curve="PR",
            multi_label=True,
            num_labels=num_classes,
            from_logits=True,
            name=name,
            dtype=dtype,
        )

    def get_config(self):
        return {"num_classes": self.num_classes, "name": self.name, "dtype": self.dtype}


def _as_vector_or_one_hot(y_true, y_pred):
    """Return labels `(B,)`, of a column `(B, 1)` too, or `(B, C)` as they are."""
    if len(y_true.shape) == 2 and y_true.shape[-1] == 1 != y_pred.shape[-1]:
        return ops.squeeze(y_true, axis=-1)
    return y_true


@keras.saving.register_keras_serializable("rra_keras")
class Accuracy(keras.metrics.MeanMetricWrapper):
    """How often the largest logit is the label's, which may be an integer or one-hot.

    Args:
        name: the metric's name.
        dtype: its dtype; Keras' own unless given.

    Example:
        accuracy = models.base.Accuracy()(np.array([0, 2]), np.eye(3)[:2])  # 0.5
    """

    def __init__(self, name="accuracy", dtype=None):
        super().__init__(_is_right, name=name, dtype=dtype)

    def get_config(self):
        return {"name": self.name, "dtype": self.dtype}


def _is_right(y_true, y_pred):
    y_true = _as_vector_or_one_hot(y_true, y_pred)
    if len(y_true.shape) == 2:
        y_true = ops.argmax(y_true, axis=-1)
    return ops.equal(ops.cast(y_true, "int32"), ops.cast(ops.argmax(y_pred, axis=-1), "int32"))


class Classifier(keras.Model):
    """A functional model from photos `(B, S, S, 3)`, RGB 0…255, to logits.

    Attributes (set by the subclass):
        num_classes: classes `C`.
        image_size: side `S` of the photos, pixels.
        calibration: its `Calibration`.
        answer: `"one"` of the classes, or `"any"` number of them.
        accuracy_name: what `fit` calls the accuracy of the logits.
    """

    answer = "one"
    accuracy_name = "accuracy"

    def compile(self, optimizer="rmsprop", loss="auto", metrics="auto", **kwargs):
        """Configure training, as `keras.Model.compile`, with defaults for logits.

        Args:
            optimizer: an optimizer, or its name.
            loss: a loss on logits; `"auto"` is `CrossEntropy`, or `BinaryCrossEntropy` for
                `answer="any"`; and so are the names of Keras' cross-entropies, which would take the
                logits for probabilities.
            metrics: as in Keras; `"auto"` is the accuracy, or the mean average precision; `None`
                none.
            **kwargs: as in Keras. `jit_compile="auto"` stays off under TensorFlow, where the
                default crop has no XLA kernel and XLA is several times slower on a CPU.
        """
        if isinstance(loss, str) and loss in ("auto", *_ON_PROBABILITIES):
            loss = BinaryCrossEntropy() if self.answer == "any" else CrossEntropy()
        if metrics == "auto":
            several = self.answer == "any"
            metrics = [MeanAveragePrecision(self.num_classes) if several else Accuracy()]
        if kwargs.get("jit_compile", "auto") == "auto" and keras.config.backend() == "tensorflow":
            kwargs["jit_compile"] = False
        super().compile(optimizer=optimizer, loss=loss, metrics=metrics, **kwargs)

    def compile_from_config(self, config):
        """Compile a reloaded model as it was compiled, optimizer variables included."""
        self.compile(**keras.saving.deserialize_keras_object(config))
        if self.built and hasattr(self, "optimizer"):
            self.optimizer.build(self.trainable_variables)

    def fit(self, x=None, y=None, *args, validation_data=None, **kwargs):
        """Train, as `keras.Model.fit`, on photos RGB 0…255 and labels in 0…C − 1.

        Raises:
            ValueError: if labels are of no class, or pixels are not finite or out of range; of a
                `tf.data.Dataset`, when the batch comes.
        """
        x = checked(x, y, self)
        if isinstance(validation_data, (tuple, list)):
            checked(*validation_data[:2], self)
        elif validation_data is not None:
            validation_data = checked(validation_data, None, self)
        with told_as_value_errors():
            return super().fit(x, y, *args, validation_data=validation_data, **kwargs)

    def evaluate(self, x=None, y=None, *args, **kwargs):
        """Measure, as `keras.Model.evaluate`; raises what `fit` raises."""
        x = checked(x, y, self)
        with told_as_value_errors():
            return super().evaluate(x, y, *args, **kwargs)

    def predict(self, x, *args, **kwargs):
        """Return logits, as `keras.Model.predict`; raises what `fit` raises."""
        x = checked(x, None, self)
        with told_as_value_errors():
            return super().predict(x, *args, **kwargs)

    def view(self, *names):
        """Return a `keras.Model` from photos to a dict of named intermediates; see the class.

        Example:
            seen = model.view("boxes", "score").predict(images)
            boxes = seen["boxes"]  # (N, K, 4)

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

    @property
    def intermediates(self):
        """The names that `view` knows."""
        return tuple(self._tensors)

    def get_config(self):
        return dict(self._arguments)


def classifier_layer(num_classes, name):
    """Return a dense layer from features to logits."""
    initializer = keras.initializers.RandomNormal(stddev=0.01)
    # Logits stay float32 under mixed precision.
    return keras.layers.Dense(
        num_classes, kernel_initializer=initializer, dtype="float32", name=name
    )


def named(tensor, name):
    """Give an intermediate a name to address it by, in the graph and by Grad-CAM."""
    # Of its own dtype: boxes are to stay float32 under a half-precision policy.
    return keras.layers.Identity(dtype=tensor.dtype, name=name)(tensor)
