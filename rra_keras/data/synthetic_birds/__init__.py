"""Drawn birds in twenty species; importing this registers `tfds.builder("synthetic_birds")`."""

from rra_keras.data.synthetic_birds.builder import SyntheticBirds as SyntheticBirds
