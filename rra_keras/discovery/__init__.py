"""Where the object is, found in the training photos without a box label, before any training."""

from rra_keras.discovery.crop_size import crop_size_for as crop_size_for
from rra_keras.discovery.find import find_objects as find_objects
from rra_keras.discovery.fit import fit_localizer as fit_localizer
from rra_keras.discovery.mirror import may_be_mirrored as may_be_mirrored
from rra_keras.discovery.objects import Objects as Objects
from rra_keras.discovery.probe import FRAME as FRAME
