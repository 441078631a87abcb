"""The layers, each usable in a functional model of its own."""

from rra_keras.layers.box_jitter import BoxJitter as BoxJitter
from rra_keras.layers.box_localizer import BoxLocalizer as BoxLocalizer
from rra_keras.layers.calibration import Calibration as Calibration
from rra_keras.layers.fixation_attention import FixationAttention as FixationAttention
from rra_keras.layers.localizer import Localizer as Localizer
from rra_keras.layers.localizers import CamLocalizer as CamLocalizer
from rra_keras.layers.localizers import CenterLocalizer as CenterLocalizer
from rra_keras.layers.localizers import RandomLocalizer as RandomLocalizer
from rra_keras.layers.recursive_attention import RecursiveAttention as RecursiveAttention
from rra_keras.layers.step_attention import StepAttention as StepAttention
from rra_keras.layers.zoom_crop import ZoomCrop as ZoomCrop
