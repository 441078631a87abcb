"""One training, from a configuration to a finished run directory."""

from rra_keras.training.adapt import adapt
from rra_keras.training.config import configure
from rra_keras.training.finish import report_line
from rra_keras.training.fit import train
from rra_keras.training.prepare import Prepared, prepare

__all__ = ["Prepared", "adapt", "configure", "prepare", "report_line", "train"]
