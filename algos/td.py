"""Critics that learn by temporal differences, and their targets: the base of all algorithms but BC."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from cocoa.algos.base import (
    Algorithm,
    Array,
    Batch,
    Metrics,
    Observation,
    State,
    check_at_least,
    check_positive,
)


@dataclass(frozen=True)
class TDLearning(Algorithm):
    """Critics that regress to the reward and a value of the next state, which a subclass computes:

        L(Q_i) = E (r + γ (1 - terminal) next_value - Q_i(s, a))²

    Its state has the `Model` `critics`, and their target parameters `target_critics`.
    """

    critics: int = 2
    """Number of critics, of which the lowest value counts."""
    target_rate: float = 0.005
    """Share of the networks that enters their targets with each update of these."""

    def __post_init__(self) -> None:
        """Raise ValueError for a value that is out of range."""
        super().__post_init__()
        check_at_least(1, self, "critics")
        check_positive(self, "target_rate", most=1)

    @abstractmethod
    def next_value(self, state: State, batch: Batch, key: Array) -> Array:
        """Return the value of the next states, (...)."""

    def target(self, state: State, batch: Batch, key: Array) -> Array:
        """Return what the critics regress to, (...)."""
        return batch.reward + self.discount * (1 - batch.terminal) * self.next_value(state, batch, key)

    def critic_loss(self, params: Any, state: State, batch: Batch, key: Array) -> tuple[Array, Metrics]:
        """Σ_i L(Q_i)."""
        target = jax.lax.stop_gradient(self.target(state, batch, key))
        q = state.critics(batch.observation, batch.action, params=params)
        loss = jnp.mean((target - q) ** 2, axis=-1).sum()
        return loss, {"critic_loss": loss, "q": q.mean()}

    def action_value(self, state: State, observation: Observation, action: Array) -> Array:
        """Return min_i Q_i(s, a), (...)."""
        return state.critics(observation, action).min(axis=0)
