"""The classifiers, their presets and their cost."""

from rra_keras.models.classifier import RRAClassifier as RRAClassifier
from rra_keras.models.paper import TwoStreamClassifier as TwoStreamClassifier
