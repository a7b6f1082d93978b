"""Soft actor-critic (Haarnoja et al. 2018; arXiv 1812.05905): the base of the model-based algorithms."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import struct

from cocoa.algos.base import (
    Array,
    Batch,
    Metrics,
    Observation,
    check_positive,
    register,
)
from cocoa.algos.networks import Adam, Model, Networks, Scalar, polyak
from cocoa.algos.td import TDLearning


@struct.dataclass
class State:
    """What SAC learns."""

    actor: Model
    critics: Model
    target_critics: Any
    log_alpha: Model


@register("sac")
@dataclass(frozen=True)
class SAC(TDLearning):
    """Soft actor-critic with a temperature α that holds the entropy at a target H̄.

    With ã' ~ π(s') and ã ~ π(s), one update minimises in this order

        L(Q_i) = E (r + γ (1 - terminal) (min_i Q̄_i(s', ã') - [α log π(ã' | s')]) - Q_i(s, a))²
        L(π)   = E (α log π(ã | s) - min_i Q_i(s, ã))
        L(α)   = -E log α (log π(ã | s) + H̄)

    and then moves Q̄ towards Q. The entropy term in brackets is left out by `deterministic_backup`. α has no
    upper bound; OfflineRL-Kit's is 1.
    """

    toy_fields: ClassVar[Mapping[str, Any]] = {
        "actor_learning_rate": 1e-3,
        "critic_learning_rate": 3e-3,
        "target_rate": 0.05,
    }

    actor_learning_rate: float = 3e-4
    """Adam's step size of the policy, and of α."""
    critic_learning_rate: float = 3e-4
    """Adam's step size of the critics."""
    cosine_schedule: bool = False
    """Let the policy's step size decay to zero over the training."""
    auto_alpha: bool = True
    """Learn the temperature; else it stays at `initial_alpha`."""
    initial_alpha: float = 1.0
    """Temperature at the start."""
    target_entropy_per_dimension: float = -1.0
    """H̄ divided by the number of the action's dimensions."""
    deterministic_backup: bool = False
    """Leave the entropy out of the critics' target."""

    def __post_init__(self) -> None:
        """Raise ValueError for a value that is out of range."""
        super().__post_init__()
        check_positive(self, "initial_alpha", "actor_learning_rate", "critic_learning_rate")

    def init(self, key: Array, networks: Networks, batch: Batch, updates: int) -> State:
        """Return fresh networks; targets equal critics."""
        actor_key, critics_key, alpha_key = jax.random.split(key, 3)
        decay = updates if self.cosine_schedule else None
        actor = Model.create(
            networks.squashed_gaussian_policy(),
            Adam(self.actor_learning_rate, decay),
            actor_key,
            batch.observation,
        )
        optimizer = Adam(self.critic_learning_rate)
        values = networks.critics(self.critics)
        critics = Model.create(values, optimizer, critics_key, batch.observation, batch.action)
        start = Scalar(math.log(self.initial_alpha))
        log_alpha = Model.create(start, Adam(self.actor_learning_rate), alpha_key)
        return State(actor, critics, critics.params, log_alpha)

    def next_value(self, state: State, batch: Batch, key: Array) -> Array:
        """Return min_i Q̄_i(s', ã') - [α log π(ã' | s')], (...)."""
        next_action, log_prob = state.actor(batch.next_observation).sample_and_log_prob(key)
        next_q = state.critics(batch.next_observation, next_action, params=state.target_critics).min(axis=0)
        if not self.deterministic_backup:
            next_q -= jnp.exp(state.log_alpha()) * log_prob
        return next_q

    def actor_loss(self, params: Any, state: State, batch: Batch, key: Array) -> tuple[Array, Metrics]:
        """L(π); the metrics hold the entropy, which L(α) needs."""
        action, log_prob = state.actor(batch.observation, params=params).sample_and_log_prob(key)
        q = state.critics(batch.observation, action).min(axis=0)
        loss = jnp.mean(jnp.exp(state.log_alpha()) * log_prob - q)
        return loss, {"actor_loss": loss, "entropy": -log_prob.mean()}

    def alpha_loss(self, params: Any, state: State, entropy: Array, action_dim: int) -> tuple[Array, Metrics]:
        """L(α)."""
        log_alpha = state.log_alpha(params=params)
        loss = log_alpha * (entropy - self.target_entropy_per_dimension * action_dim)
        return loss, {"alpha": jnp.exp(log_alpha)}

    def update(self, state: State, batch: Batch, key: Array) -> tuple[State, Metrics]:
        """Update Q, π, α and the targets, in this order."""
        critic_key, actor_key = jax.random.split(key)
        critics, critic_metrics = state.critics.minimize(self.critic_loss, state, batch, critic_key)
        state = replace(state, critics=critics)
        actor, actor_metrics = state.actor.minimize(self.actor_loss, state, batch, actor_key)
        metrics = critic_metrics | actor_metrics
        log_alpha = state.log_alpha
        if self.auto_alpha:
            action_dim = batch.action.shape[-1]
            log_alpha, alpha_metrics = log_alpha.minimize(
                self.alpha_loss, state, metrics["entropy"], action_dim
            )
            metrics |= alpha_metrics
        target_critics = polyak(state.target_critics, critics.params, self.target_rate)
        return replace(state, actor=actor, target_critics=target_critics, log_alpha=log_alpha), metrics

    def act(self, state: State, observation: Observation, key: Array | None = None) -> Array:
        """Return the squashed mean, or with `key` a sample."""
        return state.actor(observation).act(key)
