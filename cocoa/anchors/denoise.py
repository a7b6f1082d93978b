"""Anchors by taking noise away: one network leads a state to the data."""

from __future__ import annotations

from dataclasses import dataclass

from cocoa.anchors.base import AnchorMap, AnchorVariant, Models, register_anchors
from cocoa.anchors.learned import NetworkMap


@register_anchors("denoise")
@dataclass(frozen=True)
class Denoise(AnchorVariant):
    """The expected data state of which the state is a noisy one; a network learns it from noisy states."""

    per_seed: bool = False
    """Train the network once per seed, instead of once for all seeds of the run."""

    def build(self, models: Models) -> AnchorMap:
        """Take the network."""
        return NetworkMap(models.denoiser)
