"""Several streams of logits, trained on the same labels."""

import keras
from keras import ops


class StreamModel(keras.Model):
    """A functional model whose outputs are a dict of logits that share their labels.

    1. `fit` takes `(images, labels)`; the labels, integers or one-hot, go to every stream.
    2. Each trained stream has a loss, each stream its metrics. The combined `logits` have no loss
       of their own where others are trained.
    3. `predict` returns the combined `logits`.

    Nothing but `compute_loss` and `compute_metrics` is overridden in the training step, which so
    works under every Keras backend.

    Attributes (set by the subclass):
        num_classes: classes `C`.
        streams: names of the outputs, `"logits"` first.
        trained_streams: a dict from the streams that have a loss to the loss's weight.
    """

    def compile(
        self,
        optimizer="sgd",
        loss=None,
        loss_weights=None,
        metrics=None,
        jit_compile="auto",
        **kwargs,
    ):
        """Configure training; every argument but the optimizer may be left out.

        Args:
            optimizer: as in `keras.Model.compile`.
            loss: a loss on logits and one-hot labels, for every trained stream; softmax
                cross-entropy unless given. Or a dict by stream.
            loss_weights: a dict by stream; `trained_streams` unless given.
            metrics: metrics of the combined logits, or a dict by stream; each stream's accuracy
                unless given. They see one-hot labels.
            jit_compile: as in `keras.Model.compile`, but `"auto"` stays off under TensorFlow, where
                the default crop has no XLA kernel and XLA is several times slower on a CPU.
            **kwargs: `keras.Model.compile`'s other arguments.
        """
        if not isinstance(loss, dict):
            loss = loss or keras.losses.CategoricalCrossentropy(from_logits=True)
            loss = dict.fromkeys(self.trained_streams, loss)
        if loss_weights is None:
            loss_weights = {stream: self.trained_streams.get(stream, 1.0) for stream in loss}
        if metrics is None:
            metrics = {s: [keras.metrics.CategoricalAccuracy("accuracy")] for s in self.streams}
        elif not isinstance(metrics, dict):
            metrics = {"logits": metrics}
        if jit_compile == "auto" and keras.config.backend() == "tensorflow":
            jit_compile = False
        super().compile(
            optimizer=optimizer,
            loss=loss,
            loss_weights=loss_weights,
            metrics=metrics,
            jit_compile=jit_compile,
            **kwargs,
        )

    def compile_from_config(self, config):
        """Compile a reloaded model as it was compiled, optimizer variables included."""
        super().compile(**keras.saving.deserialize_keras_object(config))
        if self.built:
            self.optimizer.build(self.trainable_variables)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Compare every stream with the same labels."""
        return super().compute_loss(x, self._spread(y), y_pred, sample_weight, training)

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """Measure every stream on the same labels."""
        return super().compute_metrics(x, self._spread(y), y_pred, sample_weight)

    def _spread(self, labels):
        """Give the labels, one-hot `(B, C)`, to every stream."""
        if len(labels.shape) == 2 and labels.shape[-1] == 1:
            labels = ops.squeeze(labels, axis=-1)
        if len(labels.shape) == 1:
            labels = ops.one_hot(ops.cast(labels, "int32"), self.num_classes)
        return {stream: labels for stream in self.streams}

    def predict(self, x, **kwargs):
        """Return the combined logits `(N, C)` as NumPy; arguments as in `keras.Model.predict`."""
        return super().predict(x, **kwargs)["logits"]
