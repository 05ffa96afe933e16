"""Frozen networks that turn an image into named features."""

from nst_lightning.backbones.base import Backbone
from nst_lightning.backbones.slim import SlimVGG19
from nst_lightning.backbones.vgg import VGG16, VGG19

__all__ = ["VGG16", "VGG19", "Backbone", "SlimVGG19"]
