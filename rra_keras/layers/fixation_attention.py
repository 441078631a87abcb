"""From what was read at several places of a photo to one answer."""

import keras
from keras import ops

NEVER = 1e4  # a logit that no evidence reaches
_OUT = -1e4  # added to the evidence of what does not count


@keras.saving.register_keras_serializable("rra_keras")
class FixationAttention(keras.layers.Layer):
    """Weigh what was read at K places of a photo, the most discriminative one dominating.

    1. The evidence of a fixation is its largest logit: what resembles no class has little of it.
    2. The photo is read in order until the evidence reaches `sure_from`. What comes after that
       does not count, nor what ends on an object that was read already.
    3. Softmax of the evidence of the others, divided by `temperature` → weights `(B, K)`. The
       answer is the weighted sum of the logits; so is the score.

    Both numbers are weights of the layer: `temperature` is 1 and `sure_from` is never reached until
    they are set, as `train.py` does by the validation split.

    With `answer="any"` a photo may be of several classes, each shown in another place. Then every
    place is read that is not the object of an earlier one. The logit of a class, and the score, is
    the greatest of all fixations', and all that were read weigh the same.

    Args:
        answer: `"one"` of the classes, or `"any"` number of them.
        **kwargs: `keras.layers.Layer`'s own.

    Call arguments:
        inputs: `[logits, scores, distinct]`: `(K · B, C)` and `(K · B, 1)`, the first fixation of
            every photo, then the second of every photo; and `(B, K)`, 1 for what counts, else 0.

    Output:
        A dict: `logits` `(B, C)`, `score` `(B, 1)`, `weights` `(B, K)`, `fixation_logits`
        `(B, K, C)`, `fixation_scores` `(B, K)`, and `reads` `(B, 1)`, how many were read.

    Example:
        logits, scores, distinct = np.ones((4, 3)), np.ones((4, 1)), np.ones((2, 2))
        answer = rra_keras.layers.FixationAttention()([logits, scores, distinct])
        weights = answer["weights"]  # (2, 2), each 0.5

    Source: the attention over looks of Shroff et al., "Focus Longer to See Better" (CVPRW 2020).
    """

    def __init__(self, answer="one", **kwargs):
        kwargs.setdefault("dtype", "float32")
        super().__init__(**kwargs)
        self.answer = answer

    def build(self, input_shape):
        self._temperature = self._number("temperature", 1.0)
        self._sure_from = self._number("sure_from", NEVER)

    def _number(self, name, value):
        initializer = keras.initializers.Constant(value)
        return self.add_weight(shape=(), initializer=initializer, trainable=False, name=name)

    @property
    def temperature(self):
        """What evidence is divided by: near 0 the most evidence takes all."""
        return float(self._temperature)

    @temperature.setter
    def temperature(self, value):
        if not 0 < value < NEVER:
            raise ValueError(
                "Invalid value for argument `temperature`. Expected a finite number above 0. "
                f"Received: temperature={value!r}"
            )
        self._temperature.assign(value)

    @property
    def sure_from(self):
        """Evidence from which on no further fixation is read; `None` where all are."""
        value = float(self._sure_from)
        return None if value >= NEVER else value

    @sure_from.setter
    def sure_from(self, value):
        self._sure_from.assign(NEVER if value is None else min(value, NEVER))

    def call(self, inputs):
        logits, scores, distinct = inputs
        count = distinct.shape[1]
        if count == 1:
            weights = ops.ones_like(distinct)
            return self._outputs(logits, scores, weights, [logits], [scores], weights)
        by_place = ops.split(logits, count, axis=0)  # (B, C) each
        places_scores = ops.split(scores, count, axis=0)  # (B, 1) each
        if self.answer == "any":
            return self._most(by_place, places_scores, distinct)
        evidence = [ops.max(each, axis=-1, keepdims=True) for each in by_place]  # (B, 1) each
        going_on = ops.ones_like(evidence[0])
        counted, reads = [], 0.0 * going_on
        for k in range(count):
            own = going_on * distinct[:, k : k + 1]
            counted.append(own)
            reads = reads + own
            unsure = ops.cast(evidence[k] < self._sure_from, own.dtype)
            going_on = going_on * (1.0 - own * (1.0 - unsure))
        counted = ops.concatenate(counted, axis=-1)  # (B, K)
        evidence = ops.concatenate(evidence, axis=-1)
        scaled = evidence / self._temperature
        weights = ops.softmax(scaled * counted + _OUT * (1.0 - counted))  # (B, K)
        shares = ops.split(weights, count, axis=-1)
        answer = sum(share * each for share, each in zip(shares, by_place, strict=True))
        score = sum(share * each for share, each in zip(shares, places_scores, strict=True))
        return self._outputs(answer, score, weights, by_place, places_scores, reads)

    def _most(self, by_place, places_scores, distinct):
        """Return the outputs where each class is shown in a place of its own."""
        logits, score = by_place[0], places_scores[0]  # the first always counts
        for k in range(1, len(by_place)):
            out = _OUT * (1.0 - distinct[:, k : k + 1])  # (B, 1)
            logits = ops.maximum(logits, by_place[k] + out)
            score = ops.maximum(score, places_scores[k] + out)
        reads = ops.sum(distinct, axis=-1, keepdims=True)
        weights = distinct / reads
        return self._outputs(logits, score, weights, by_place, places_scores, reads)

    @staticmethod
    def _outputs(logits, score, weights, by_place, places_scores, reads):
        return {
            "logits": logits,
            "score": score,
            "weights": weights,
            "fixation_logits": ops.stack(by_place, axis=1),
            "fixation_scores": ops.concatenate(places_scores, axis=-1),
            "reads": reads,
        }

    def compute_output_spec(self, inputs):
        logits, _, distinct = inputs
        (batch, count), classes = distinct.shape, logits.shape[-1]
        shapes = {
            "logits": (batch, classes),
            "score": (batch, 1),
            "weights": (batch, count),
            "fixation_logits": (batch, count, classes),
            "fixation_scores": (batch, count),
            "reads": (batch, 1),
        }
        return {
            name: keras.KerasTensor(shape, self.compute_dtype) for name, shape in shapes.items()
        }

    def get_config(self):
        return {**super().get_config(), "answer": self.answer}
