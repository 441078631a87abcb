"""Drawn birds in twenty species; importing this registers `tfds.builder("synthetic_birds")`."""

from rra_keras.datasets.synthetic_birds.builder import SyntheticBirds as SyntheticBirds
