"""SAC-N and EDAC (An, Moon, Kim, Song; NeurIPS 2021; arXiv 2110.01548)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from cocoa.algos import sac
from cocoa.algos.base import Array, Batch, Metrics, check_at_least, register
from cocoa.algos.networks import Critic

_SHORTEST = 1e-10  # added to the length of a gradient, which may be zero where all units are off


@register("edac")
@dataclass(frozen=True)
class EDAC(sac.SAC):
    """SAC with N critics whose gradients with respect to the action are kept apart.

    Adds to Σ_i L(Q_i) of SAC, whose targets take the minimum of all N critics,

        η / (N - 1) E Σ_i Σ_j≠i <g_i, g_j>,   g_i = ∇_a Q_i(s, a) / |∇_a Q_i(s, a)|               (eq. 5)

    in the actions of the data: critics that agree on a direction outside of the data would make their minimum
    as optimistic as one of them. With `diversity_weight=0` this is SAC-N, which needs many more critics.
    The critics are updated first, then the policy, then α; the authors' code goes the other way.
    """

    toy_fields: ClassVar[Mapping[str, Any]] = {"critics": 5}

    hidden: tuple[int, ...] = (256, 256, 256)
    """Widths of the hidden layers of actor and critics, behind the encoder."""
    critics: int = 10
    """N: number of critics, of which the lowest value counts."""
    diversity_weight: float = 1.0
    """η: weight of the critics' diversity; 0 is SAC-N."""

    def __post_init__(self) -> None:
        """Raise ValueError for a value that is out of range."""
        super().__post_init__()
        check_at_least(2, self, "critics")
        check_at_least(0, self, "diversity_weight")

    def critic_loss(self, params: Any, state: sac.State, batch: Batch, key: Array) -> tuple[Array, Metrics]:
        """Σ_i L(Q_i) with the term of diversity."""
        td_loss, metrics = super().critic_loss(params, state, batch, key)
        if not self.diversity_weight:
            return td_loss, metrics
        similarity = self.similarity(params, state, batch)
        loss = td_loss + self.diversity_weight * self.critics * similarity
        return loss, metrics | {"critic_loss": loss, "td_loss": td_loss, "gradient_similarity": similarity}

    def similarity(self, params: Any, state: sac.State, batch: Batch) -> Array:
        """Return E <g_i, g_j>, the mean over pairs i ≠ j of two critics, in [-1 / (N - 1), 1]."""

        def direction(critic: Critic) -> Array:
            slope = jax.grad(lambda action: critic(batch.observation, action).sum())(batch.action)
            # Not the norm plus a number: the norm has no derivative at zero.
            return slope * jax.lax.rsqrt(jnp.sum(slope**2, axis=-1, keepdims=True) + _SHORTEST**2)

        directions = state.critics.module.each(params, direction)  # (N, B, A)
        # |Σ g_i|² = Σ_i |g_i|² + Σ_i≠j <g_i, g_j>, without the products of all pairs.
        pairs = jnp.sum(directions.sum(axis=0) ** 2 - (directions**2).sum(axis=0), axis=-1)
        return pairs.mean() / (self.critics * (self.critics - 1))
