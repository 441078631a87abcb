"""What a training leaves behind: a directory, its tables, and one pass over a split."""

from rra_keras.runs.collect import collect as collect
from rra_keras.runs.run import Run as Run
