"""The layers, each usable in a functional model of its own."""

from rra_keras.layers.box_jitter import BoxJitter as BoxJitter
from rra_keras.layers.box_localizer import BoxLocalizer as BoxLocalizer
from rra_keras.layers.known_score import KnownScore as KnownScore
from rra_keras.layers.localizer import Localizer as Localizer
from rra_keras.layers.localizers import CamLocalizer as CamLocalizer
from rra_keras.layers.localizers import CenterLocalizer as CenterLocalizer
from rra_keras.layers.localizers import RandomLocalizer as RandomLocalizer
from rra_keras.layers.peaks import PeakBoxes as PeakBoxes
from rra_keras.layers.recursive_attention import RecursiveAttention as RecursiveAttention
from rra_keras.layers.zoom_crop import ZoomCrop as ZoomCrop
