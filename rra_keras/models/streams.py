"""Several streams of logits, trained on the same labels."""

import keras
from keras import ops


class StreamModel(keras.Model):
    """A functional model whose outputs are a dict of logits that share their labels.

    1. `fit` takes `(images, labels)`; the labels, integers or one-hot, go to every stream, as each
       loss and metric takes them.
    2. Each trained stream has a loss, each stream its metrics. The combined `logits` have no loss
       of their own where others are trained.
    3. `predict` and `predict_on_batch` return the combined `logits`.

    Nothing but `compute_loss` and `compute_metrics` is overridden in the training step, which so
    works under every Keras backend.

    Attributes (set by the subclass):
        num_classes: classes `C`.
        streams: names of the outputs, `"logits"` first.
        trained_streams: a dict from the streams that have a loss to the loss's weight.
    """

    def compile(
        self,
        optimizer="rmsprop",
        loss="auto",
        loss_weights="auto",
        metrics="auto",
        weighted_metrics=None,
        run_eagerly=False,
        steps_per_execution=1,
        jit_compile="auto",
        auto_scale_loss=True,
    ):
        """Configure training: arguments as in `keras.Model.compile`, in its order.

        Where `"auto"` differs from it, and `None` means none:

        Args:
            optimizer: an optimizer, or its name.
            loss: a loss on logits, for every trained stream, or a dict by stream; `"auto"` is
                softmax cross-entropy. Sparse losses get integer labels, others one-hot ones.
            loss_weights: a dict by stream; `"auto"` is `trained_streams`.
            metrics: metrics of the combined logits, or a dict by stream; `"auto"` is each stream's
                accuracy. Sparse metrics get integer labels, others one-hot ones.
            weighted_metrics: the same, weighted by sample.
            run_eagerly: as in `keras.Model.compile`.
            steps_per_execution: as in `keras.Model.compile`.
            jit_compile: as in `keras.Model.compile`, but `"auto"` stays off under TensorFlow, where
                the default crop has no XLA kernel and XLA is several times slower on a CPU.
            auto_scale_loss: as in `keras.Model.compile`.

        Raises:
            ValueError: if one stream has both sparse metrics and others.
        """
        if loss == "auto":
            loss = keras.losses.CategoricalCrossentropy(from_logits=True)
        if loss is not None and not isinstance(loss, dict):
            loss = dict.fromkeys(self.trained_streams, loss)
        if loss_weights == "auto":
            loss_weights = {s: self.trained_streams.get(s, 1.0) for s in loss or {}} or None
        if metrics == "auto":
            metrics = {s: [keras.metrics.CategoricalAccuracy("accuracy")] for s in self.streams}
        metrics, weighted_metrics = (
            {"logits": given} if given is not None and not isinstance(given, dict) else given
            for given in (metrics, weighted_metrics)
        )
        self._sparse_losses = {s for s, given in (loss or {}).items() if _is_sparse(given)}
        self._sparse_metrics = _sparse_streams(metrics, weighted_metrics)
        if jit_compile == "auto" and keras.config.backend() == "tensorflow":
            jit_compile = False
        super().compile(
            optimizer=optimizer,
            loss=loss,
            loss_weights=loss_weights,
            metrics=metrics,
            weighted_metrics=weighted_metrics,
            run_eagerly=run_eagerly,
            steps_per_execution=steps_per_execution,
            jit_compile=jit_compile,
            auto_scale_loss=auto_scale_loss,
        )

    def compile_from_config(self, config):
        """Compile a reloaded model as it was compiled, optimizer variables included."""
        self.compile(**keras.saving.deserialize_keras_object(config))
        if self.built and hasattr(self, "optimizer"):
            self.optimizer.build(self.trainable_variables)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Compare every stream with the same labels."""
        labels = self._spread(y, self._sparse_losses)
        return super().compute_loss(x, labels, y_pred, sample_weight, training)

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """Measure every stream on the same labels."""
        labels = self._spread(y, self._sparse_metrics)
        return super().compute_metrics(x, labels, y_pred, sample_weight)

    def _spread(self, labels, sparse):
        """Give the labels to every stream: integers `(B,)` if sparse, or else one-hot `(B, C)`."""
        if len(labels.shape) == 2 and labels.shape[-1] == 1:
            labels = ops.squeeze(labels, axis=-1)
        if len(labels.shape) == 1:
            integers = ops.cast(labels, "int32")
            one_hot = ops.one_hot(integers, self.num_classes)
        else:
            integers, one_hot = ops.argmax(labels, axis=-1), labels
        return {stream: integers if stream in sparse else one_hot for stream in self.streams}

    def predict(self, x, **kwargs):
        """Return the combined logits `(N, C)` as NumPy; arguments as in `keras.Model.predict`."""
        return super().predict(x, **kwargs)["logits"]

    def predict_on_batch(self, x):
        """Return the combined logits `(B, C)` of one batch, as NumPy."""
        return super().predict_on_batch(x)["logits"]


def _sparse_streams(*metrics_by_stream):
    """Return the streams whose metrics take integer labels."""
    kinds = {}
    for by_stream in metrics_by_stream:
        for stream, given in (by_stream or {}).items():
            given = given if isinstance(given, (list, tuple)) else [given]
            kinds.setdefault(stream, []).extend(metric for metric in given if metric is not None)
    for stream, metrics in kinds.items():
        if len({_is_sparse(metric) for metric in metrics}) == 2:
            raise ValueError(
                "Invalid value for argument `metrics`. Expected sparse metrics alone, or none, for "
                f"a stream, as its labels have one form. Received: {metrics} for {stream!r}"
            )
    return {stream for stream, metrics in kinds.items() if any(map(_is_sparse, metrics))}


def _is_sparse(measure):
    """Tell whether a loss or metric, or the name of one, takes integer labels."""
    if isinstance(measure, str):
        names = [measure]
    elif callable(measure) and hasattr(measure, "__name__"):
        names = [measure.__name__]
    else:
        names = [base.__name__ for base in type(measure).__mro__]
    return any(name.lower().startswith("sparse") for name in names)
