"""Extreme Q-learning (Garg, Hejna, Geist, Ermon; ICLR 2023; arXiv 2301.02328)."""

from __future__ import annotations

from dataclasses import dataclass

import jax.numpy as jnp

from cocoa.algos.base import Array, check_positive, register
from cocoa.algos.iql import Regression


@register("xql")
@dataclass(frozen=True)
class XQL(Regression):
    """IQL with Gumbel regression in place of expectiles: V is the soft maximum of Q over the data's actions.

    The losses are those of `InSample` and `Regression` with ρ(u) = exp(z) - z - 1, z = min(u / b, clip); the
    minimum of its mean is V(s) = b log E exp(Q̄(s, a) / b). The authors' code divides a batch's loss by its
    largest exp(z), which Adam undoes but for its memory, and has a Huber loss for the critics, which is
    quadratic up to errors of 20. Both are left out, and so are the LayerNorm in front of its value's
    activations, and the random actions in L(V) and the noise on the data's that its scripts use on some sets.
    """

    value_temperature: float = 2.0
    """b: 0 takes the maximum over the data's actions, ∞ their mean."""
    exponent_clip: float = 7.0
    """Upper bound of z."""

    def __post_init__(self) -> None:
        """Raise ValueError for a value that is out of range."""
        super().__post_init__()
        check_positive(self, "value_temperature", "exponent_clip")

    def deviation(self, difference: Array) -> Array:
        """Return ρ of the differences Q̄(s, a) - V(s), elementwise."""
        z = jnp.minimum(difference / self.value_temperature, self.exponent_clip)
        return jnp.exp(z) - z - 1
