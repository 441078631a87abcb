"""Recursively Refined Attention for fine-grained image classification in Keras."""

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


def __getattr__(name):
    if name == "find_objects":  # it needs SciPy, which a model alone does not
        from rra_keras.discovery import find_objects

        return find_objects
    raise AttributeError(f"module 'rra_keras' has no attribute {name!r}")
