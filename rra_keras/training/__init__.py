"""One training, from a configuration to a finished run directory."""

from rra_keras.training.config import configure
from rra_keras.training.finish import report_line
from rra_keras.training.fit import train
from rra_keras.training.objects import objects_of
from rra_keras.training.prepare import Prepared, build, prepare

__all__ = ["Prepared", "build", "configure", "objects_of", "prepare", "report_line", "train"]
