"""What a model's logits mean: how sure it is, and whether it knows at all."""

import math
import numbers

from rra_keras.models.streams import StreamModel


class CalibratedModel(StreamModel):
    """A model of streams of logits with what turns the combined ones into an answer.

    Its outputs and losses are of logits as they are; whoever shows an answer applies these two, as
    `predict` and exported files do. `train.py` fits them on the validation split, by
    `rra_keras.measures.calibration` and `rra_keras.measures.unknown`. Both are arguments of the
    constructor, may be set, and are saved with the model.

    Attributes:
        temperature: T, above 0. Probabilities are softmax(logits / T); 1 unless fitted.
        known_from: the score (`KnownScore`) from which on a photo is of any of the classes; of
            others commands say "none of these". `None`, unless fitted: every photo is.

    Raises:
        ValueError: if an attribute is set to what it cannot be.
    """

    @property
    def temperature(self):
        return self._arguments["temperature"]

    @temperature.setter
    def temperature(self, temperature):
        check_temperature(temperature)
        self._arguments["temperature"] = float(temperature)

    @property
    def known_from(self):
        return self._arguments["known_from"]

    @known_from.setter
    def known_from(self, known_from):
        check_known_from(known_from)
        self._arguments["known_from"] = None if known_from is None else float(known_from)


def check_temperature(temperature):
    """Raise a `ValueError` unless a temperature is a finite number above 0."""
    if not (isinstance(temperature, numbers.Real) and 0 < temperature < math.inf):
        raise ValueError(
            "Invalid value for argument `temperature`. Expected a finite number above 0. "
            f"Received: temperature={temperature!r}"
        )


def check_known_from(score):
    """Raise a `ValueError` unless a threshold is a finite number or `None`."""
    if score is not None and not (isinstance(score, numbers.Real) and math.isfinite(score)):
        raise ValueError(
            "Invalid value for argument `known_from`. Expected a finite number or None. "
            f"Received: known_from={score!r}"
        )
