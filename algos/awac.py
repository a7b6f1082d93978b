"""AWAC (Nair, Gupta, Dalal, Levine; 2020; arXiv 2006.09359)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import struct

from cocoa.algos.base import Array, Batch, Metrics, Observation, check_positive, register
from cocoa.algos.networks import Adam, Model, Networks, polyak
from cocoa.algos.td import TDLearning


@struct.dataclass
class State:
    """What AWAC learns."""

    actor: Model
    critics: Model
    target_critics: Any


@register("awac")
@dataclass(frozen=True)
class AWAC(TDLearning):
    """Advantage-weighted actor-critic: TD learning with the policy's actions, regression to the data's.

    With ã' ~ π(s') and ã ~ π(s), both clipped to [-1, 1], one update minimises in this order

        L(Q_i) = E (r + γ (1 - terminal) min_i Q̄_i(s', ã') - Q_i(s, a))²
        L(π)   = -E min(exp(A(s, a) / λ), clip) log π(a | s),   A(s, a) = min_i Q_i(s, a) - min_i Q_i(s, ã)

    and then moves Q̄ towards Q. The weights pass no gradient; they are clipped as in CORL.
    """

    toy_fields: ClassVar[Mapping[str, Any]] = {"learning_rate": 3e-3, "target_rate": 0.05, "temperature": 0.1}

    hidden: tuple[int, ...] = (256, 256, 256)
    """Widths of the hidden layers of actor and critics, behind the encoder."""
    temperature: float = 1.0
    """λ: ∞ clones the behaviour, 0 takes the best action."""
    advantage_clip: float = 100.0
    """Upper bound of the weight exp(A / λ)."""
    learning_rate: float = 3e-4
    """Adam's step size of all networks."""

    def __post_init__(self) -> None:
        """Raise ValueError for a value that is out of range."""
        super().__post_init__()
        check_positive(self, "temperature", "advantage_clip", "learning_rate")

    def init(self, key: Array, networks: Networks, batch: Batch, updates: int) -> State:
        """Return fresh networks; targets equal critics."""
        actor_key, critics_key = jax.random.split(key)
        optimizer = Adam(self.learning_rate)
        actor = Model.create(networks.gaussian_policy(), optimizer, actor_key, batch.observation)
        values = networks.critics(self.critics)
        critics = Model.create(values, optimizer, critics_key, batch.observation, batch.action)
        return State(actor, critics, critics.params)

    def next_value(self, state: State, batch: Batch, key: Array) -> Array:
        """Return min_i Q̄_i(s', ã'), (...)."""
        action = state.actor(batch.next_observation).act(key)
        return state.critics(batch.next_observation, action, params=state.target_critics).min(axis=0)

    def actor_loss(self, params: Any, state: State, batch: Batch, key: Array) -> tuple[Array, Metrics]:
        """L(π)."""
        drawn = state.actor(batch.observation).act(key)  # by the policy before the update: no gradient
        value = state.critics(batch.observation, drawn).min(axis=0)
        advantage = state.critics(batch.observation, batch.action).min(axis=0) - value
        weight = jnp.minimum(jnp.exp(advantage / self.temperature), self.advantage_clip)
        loss = -jnp.mean(weight * state.actor(batch.observation, params=params).log_prob(batch.action))
        return loss, {"actor_loss": loss, "advantage": advantage.mean(), "weight": weight.mean()}

    def update(self, state: State, batch: Batch, key: Array) -> tuple[State, Metrics]:
        """Update Q, π and the targets, in this order."""
        critic_key, actor_key = jax.random.split(key)
        critics, critic_metrics = state.critics.minimize(self.critic_loss, state, batch, critic_key)
        state = replace(state, critics=critics)
        actor, actor_metrics = state.actor.minimize(self.actor_loss, state, batch, actor_key)
        targets = polyak(state.target_critics, critics.params, self.target_rate)
        return replace(state, actor=actor, target_critics=targets), critic_metrics | actor_metrics

    def act(self, state: State, observation: Observation, key: Array | None = None) -> Array:
        """Return the policy's mean, or with `key` a sample of it."""
        return state.actor(observation).act(key)
