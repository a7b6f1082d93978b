"""Anchors without a difference: a control that tells what the networks alone contribute."""

from __future__ import annotations

from dataclasses import dataclass

import jax
from flax import struct

from cocoa.anchors.base import AnchorMap, AnchorVariant, Models, register_anchors


@register_anchors("zero")
@dataclass(frozen=True)
class Zero(AnchorVariant):
    """Control: the state itself, so that the difference is zero; COCOA's networks at equal cost."""

    def build(self, models: Models) -> AnchorMap:
        """Take nothing."""
        return ZeroMap()


@struct.dataclass
class ZeroMap:
    """The state itself."""

    def __call__(self, states: jax.Array) -> jax.Array:
        """Return `states`."""
        return states
