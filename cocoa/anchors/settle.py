"""Anchors where the models agree best on the seeker's way, instead of after a fixed number of steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from cocoa.anchors.base import AnchorMap, Models, register_anchors
from cocoa.anchors.seek import Seek


@register_anchors("settle")
@dataclass(frozen=True)
class Settle(Seek):
    """Of the state and `horizon` states on the seeker's way, the one that the models agree on best."""

    horizon: int = 5
    """Steps of the mean forward dynamics under the seeker, at most, from a state to its anchor."""

    def build(self, models: Models) -> AnchorMap:
        """Take the forward dynamics, the seeker and the deviations of the data."""
        walk = SettleMap(models.forward, self.trained_seeker(models), models.std, self.horizon)
        return models.distilled(walk) if self.amortised else walk


@struct.dataclass
class SettleMap:
    """Of the state and the `horizon` states after it, the one on whose next state the models agree best.

    It minimises |std_i μ_i(s, π̃(s)) / scale| over the members i, with the standard deviations `scale` (O,) of
    the data. States on the data are left where they are, and states off it are led as far as it helps.
    """

    forward: Any
    seeker: Any
    scale: jax.Array
    horizon: int = struct.field(pytree_node=False)

    def __call__(self, states: jax.Array) -> jax.Array:
        """Walk from `states`, and return the best of each way."""
        best, least = states, jnp.full_like(states[..., 0], jnp.inf)
        for _ in range(self.horizon + 1):
            means = self.forward.means(states, self.seeker(states))[..., :-1]
            doubt = jnp.linalg.norm(means.std(axis=0) / self.scale, axis=-1)
            better = doubt < least
            best = jnp.where(better[..., None], states, best)
            least = jnp.where(better, doubt, least)
            states = means.mean(axis=0)
        return best
