"""Recursively Refined Attention for fine-grained image classification in Keras."""

from typing import TYPE_CHECKING

from rra_keras import quiet as quiet  # first: it imports Keras
from rra_keras.layers import BoxLocalizer as BoxLocalizer
from rra_keras.layers import CamLocalizer as CamLocalizer
from rra_keras.layers import CenterLocalizer as CenterLocalizer
from rra_keras.layers import RandomLocalizer as RandomLocalizer
from rra_keras.layers import RecursiveAttention as RecursiveAttention
from rra_keras.layers import StepAttention as StepAttention
from rra_keras.layers import ZoomCrop as ZoomCrop
from rra_keras.models import RRAClassifier as RRAClassifier

__version__ = "0.1.0"

if TYPE_CHECKING:
    from rra_keras.discovery import find_objects as find_objects
    from rra_keras.trained import TrainedRun as TrainedRun
    from rra_keras.trained import train as train


_LATER = {  # what needs more packages than a model by itself does
    "find_objects": "rra_keras.discovery",
    "train": "rra_keras.trained",
    "TrainedRun": "rra_keras.trained",
}


def __getattr__(name):
    if name in _LATER:
        import importlib

        return getattr(importlib.import_module(_LATER[name]), name)
    raise AttributeError(f"module 'rra_keras' has no attribute {name!r}")
