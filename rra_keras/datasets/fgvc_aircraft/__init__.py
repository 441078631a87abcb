"""FGVC-Aircraft; importing this registers `tfds.builder("fgvc_aircraft")`."""

from rra_keras.datasets.fgvc_aircraft.builder import FgvcAircraft as FgvcAircraft
