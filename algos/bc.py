"""Behaviour cloning. 10 % BC (Chen et al., NeurIPS 2021) is this with `data.top_episodes=0.1`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import jax.numpy as jnp

from cocoa.algos.base import Algorithm, Array, Batch, Metrics, Observation, check_positive, register
from cocoa.algos.networks import Adam, Model, Networks


@register("bc")
@dataclass(frozen=True)
class BC(Algorithm):
    """Behaviour cloning: a deterministic policy that minimises L(π) = E |π(s) - a|² / A over the data."""

    uses_rewards: ClassVar[bool] = False
    deterministic: ClassVar[bool] = True
    toy_fields: ClassVar[Mapping[str, Any]] = {"learning_rate": 3e-3}

    learning_rate: float = 3e-4
    """Adam's step size."""

    def __post_init__(self) -> None:
        """Raise ValueError for a value that is out of range."""
        super().__post_init__()
        check_positive(self, "learning_rate")

    def init(self, key: Array, networks: Networks, batch: Batch, updates: int) -> Model:
        """Return a fresh policy."""
        return Model.create(networks.deterministic_policy(), Adam(self.learning_rate), key, batch.observation)

    def actor_loss(self, params: Any, state: Model, batch: Batch) -> tuple[Array, Metrics]:
        """L(π)."""
        loss = jnp.mean((state(batch.observation, params=params) - batch.action) ** 2)
        return loss, {"actor_loss": loss}

    def update(self, state: Model, batch: Batch, key: Array) -> tuple[Model, Metrics]:
        """Update π; draws nothing from `key`."""
        return state.minimize(self.actor_loss, state, batch)

    def act(self, state: Model, observation: Observation, key: Array | None = None) -> Array:
        """Return the policy's action, which has no noise."""
        return state(observation)
