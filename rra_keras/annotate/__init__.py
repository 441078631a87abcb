"""A page on this machine to draw boxes in photos."""

from rra_keras.annotate.server import Annotations as Annotations
from rra_keras.annotate.server import make_server as make_server
