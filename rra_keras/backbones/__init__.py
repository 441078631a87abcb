"""Backbones: encoders from RGB images to feature maps, with their preprocessing inside."""

from rra_keras.backbones.efficientnet_lite import efficientnet_lite as efficientnet_lite
from rra_keras.backbones.encoder import backbone_names as backbone_names
from rra_keras.backbones.encoder import build_encoder as build_encoder
from rra_keras.backbones.encoder import default_train_from as default_train_from
from rra_keras.backbones.encoder import minimum_size as minimum_size
from rra_keras.backbones.trunk import build_trunk as build_trunk
