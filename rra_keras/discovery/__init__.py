"""Where the object is, found without a box label: by the training photos, before training."""

from rra_keras.discovery.discover import Objects as Objects
from rra_keras.discovery.discover import discover_objects as discover_objects
from rra_keras.discovery.fit_localizer import fit_localizer as fit_localizer
