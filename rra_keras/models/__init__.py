"""The classifier, its looks, its presets and its cost."""

from rra_keras.models.classifier import RRAClassifier as RRAClassifier
