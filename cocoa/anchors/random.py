"""Anchors at random: a control that tells whether it matters which data state the anchor is."""

from __future__ import annotations

from dataclasses import dataclass

import jax
from flax import struct

from cocoa.anchors.base import AnchorMap, AnchorVariant, Models, register_anchors
from cocoa.anchors.hashing import draw


@register_anchors("random")
@dataclass(frozen=True)
class Random(AnchorVariant):
    """Control: a random state of the data, always the same for the same state."""

    per_seed: bool = False
    """Draw other anchors for each seed, instead of the same for all seeds of the run."""

    def build(self, models: Models) -> AnchorMap:
        """Take all data states."""
        return RandomMap(models.states, models.salt)


@struct.dataclass
class RandomMap:
    """A data state out of `data` (N, O), drawn by a hash of the state's bits."""

    data: jax.Array
    salt: jax.Array

    def __call__(self, states: jax.Array) -> jax.Array:
        """Draw for each of `states`."""
        return draw(states, self.salt, lambda key: self.data[jax.random.randint(key, (), 0, len(self.data))])
