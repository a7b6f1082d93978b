"""Compositional conservatism: anchors and differences, their encoder, and the anchor variants."""

from cocoa.anchors.base import ANCHORS, AnchorMap, AnchorVariant, Models, register_anchors
from cocoa.anchors.denoise import Denoise
from cocoa.anchors.nearest import Nearest
from cocoa.anchors.random import Random
from cocoa.anchors.seek import Seek
from cocoa.anchors.seeker import SeekerConfig
from cocoa.anchors.self_noise import SelfNoise
from cocoa.anchors.settle import Settle
from cocoa.anchors.zero import Zero

__all__ = [
    "ANCHORS",
    "AnchorMap",
    "AnchorVariant",
    "Denoise",
    "Models",
    "Nearest",
    "Random",
    "Seek",
    "SeekerConfig",
    "SelfNoise",
    "Settle",
    "Zero",
    "register_anchors",
]
