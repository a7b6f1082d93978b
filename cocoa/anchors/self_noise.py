"""Anchors around the state itself: a control that tells whether any small difference would do."""

from __future__ import annotations

from dataclasses import dataclass

import jax
from flax import struct

from cocoa.algos.base import check_at_least
from cocoa.anchors.base import AnchorMap, AnchorVariant, Models, register_anchors
from cocoa.anchors.hashing import draw


@register_anchors("self-noise")
@dataclass(frozen=True)
class SelfNoise(AnchorVariant):
    """Control: the state plus normal noise, always the same for the same state."""

    noise: float = 0.1
    """Standard deviation of the noise, in standard deviations of the data."""
    per_seed: bool = False
    """Draw other noise for each seed, instead of the same for all seeds of the run."""

    def __post_init__(self) -> None:
        """Raise ValueError for a value that is out of range."""
        check_at_least(0, self, "noise")

    def build(self, models: Models) -> AnchorMap:
        """Take the deviations of the data."""
        return SelfNoiseMap(models.std, models.salt, self.noise)


@struct.dataclass
class SelfNoiseMap:
    """The state plus normal noise of `noise` standard deviations `std` (O,), drawn by a hash of its bits."""

    std: jax.Array
    salt: jax.Array
    noise: float = struct.field(pytree_node=False)

    def __call__(self, states: jax.Array) -> jax.Array:
        """Draw for each of `states`."""
        drawn = draw(states, self.salt, lambda key: jax.random.normal(key, self.std.shape))
        return states + self.noise * self.std * drawn
