"""Conservative offline model-based policy optimisation (Yu et al.; NeurIPS 2021; arXiv 2102.08363)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp

from cocoa.algos.base import Array, register
from cocoa.algos.cql import CQL
from cocoa.algos.rollouts import ModelBased


@register("combo")
@dataclass(frozen=True)
class COMBO(ModelBased, CQL):
    """COMBO: CQL on data and model rollouts, with no need to know how sure the model is.

    The losses are CQL's, on batches of which the share `real_ratio` is data. The penalty pushes values down
    on the states of the whole batch and up on the data alone: its bracket is

        E_mixed T log Σ_k exp((Q_i(s, a_k) - log μ_k(a_k)) / T) - E_data Q_i(s, a)
    """

    cosine_schedule: bool = True
    """Let the policy's step size decay to zero over the training."""
    real_ratio: float = 0.5
    """Share of the data in each batch; the rest is imagined."""

    def __post_init__(self) -> None:
        """Raise ValueError for a value that is out of range."""
        super().__post_init__()
        if not self.real_ratio:
            raise ValueError("real_ratio=0 is not possible: the penalty needs data")
        if self.calibrated:
            raise ValueError("calibrated=true is not possible: what is imagined has no returns")

    def data_value(self, batch: Any, q: Array) -> Array:
        """Return E_data Q_i, its mean over the critics, of values (critics, B)."""
        return jnp.sum(jnp.where(batch.real, q, 0)) / (len(q) * jnp.maximum(batch.real.sum(), 1))
