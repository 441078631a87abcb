"""The layers, each usable in a functional model of its own."""

from rra_keras.layers.localizer import ActivationLocalizer as ActivationLocalizer
from rra_keras.layers.localizer import CamLocalizer as CamLocalizer
from rra_keras.layers.localizer import CenterLocalizer as CenterLocalizer
from rra_keras.layers.localizer import RandomLocalizer as RandomLocalizer
from rra_keras.layers.recursive_attention import RecursiveAttention as RecursiveAttention
from rra_keras.layers.zoom_crop import ZoomCrop as ZoomCrop
