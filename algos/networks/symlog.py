"""An encoder whose inputs are squeezed by the symmetric logarithm (Hafner et al. 2023; arXiv 2301.04104)."""

from __future__ import annotations

from dataclasses import dataclass

import flax.linen as nn
import jax
import jax.numpy as jnp

from cocoa.algos.base import Array, Observation
from cocoa.algos.networks.heads import Encoder


def symlog(x: Array) -> Array:
    """Return sign(x) log(1 + |x|), of the same shape; its derivative at 0 is 1."""
    return jnp.log1p(jnp.maximum(x, 0)) - jnp.log1p(jnp.maximum(-x, 0))


class SqueezedEncoder(nn.Module):
    """An encoder of symlog(observation[, action])."""

    encoder: Encoder

    @nn.compact
    def __call__(self, observation: Observation, action: Array | None = None) -> Array:
        """Return features (..., width)."""
        observation, action = jax.tree.map(symlog, (observation, action))
        return self.encoder()(observation, action)


@dataclass(frozen=True)
class Squeezed:
    """Make `SqueezedEncoder`s; two of equal encoders are equal."""

    encoder: Encoder

    def __call__(self) -> nn.Module:
        """Return a fresh module."""
        return SqueezedEncoder(self.encoder)
