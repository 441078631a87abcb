"""Where the object is, found in the training photos without a box label, before any training."""

from rra_keras.discovery.discover import Objects as Objects
from rra_keras.discovery.discover import discover_objects as discover_objects
from rra_keras.discovery.fit import fit_localizer as fit_localizer
from rra_keras.discovery.patch import patch_size_for as patch_size_for
from rra_keras.discovery.probe import FRAME as FRAME
