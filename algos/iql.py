"""Implicit Q-learning (Kostrikov, Nair, Levine; ICLR 2022; arXiv 2110.06169)."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import struct

from cocoa.algos.base import Array, Batch, Metrics, Observation, check_at_least, check_positive, register
from cocoa.algos.networks import Adam, Model, Networks, polyak
from cocoa.algos.td import TDLearning


@struct.dataclass
class State:
    """What IQL learns."""

    actor: Model
    critics: Model
    value: Model
    target_critics: Any


@dataclass(frozen=True)
class InSample(TDLearning):
    """Values of the data's actions alone: what IQL, XQL and IFQL share.

    With Q̄ the target critics and Q̄(s, a) = min_i Q̄_i(s, a), one update minimises in this order

        L(V)   = E ρ(Q̄(s, a) - V(s))
        L(π)
        L(Q_i) = E (r + γ (1 - terminal) V(s') - Q_i(s, a))²

    each with the results of the ones before, and then moves Q̄ towards Q. A subclass says what ρ is, and what
    the policy is and minimises.
    """

    toy_fields: ClassVar[Mapping[str, Any]] = {"learning_rate": 3e-3, "target_rate": 0.05}

    learning_rate: float = 3e-4
    """Adam's step size of all networks."""
    critic_layer_norm: bool = False
    """LayerNorm behind the hidden layers of critics and value."""

    def __post_init__(self) -> None:
        """Raise ValueError for a value that is out of range."""
        super().__post_init__()
        check_positive(self, "learning_rate")

    def init(self, key: Array, networks: Networks, batch: Batch, updates: int) -> State:
        """Return fresh networks; targets equal critics."""
        actor_key, critics_key, value_key = jax.random.split(key, 3)
        optimizer = Adam(self.learning_rate)
        actor = self.init_actor(actor_key, networks, batch, updates)
        values = networks.critics(self.critics, self.critic_layer_norm)
        critics = Model.create(values, optimizer, critics_key, batch.observation, batch.action)
        value = Model.create(networks.value(self.critic_layer_norm), optimizer, value_key, batch.observation)
        return State(actor, critics, value, critics.params)

    @abstractmethod
    def init_actor(self, key: Array, networks: Networks, batch: Batch, updates: int) -> Model:
        """Return a fresh policy."""

    def next_value(self, state: State, batch: Batch, key: Array) -> Array:
        """Return V(s'), (...)."""
        return state.value(batch.next_observation)

    @abstractmethod
    def deviation(self, difference: Array) -> Array:
        """Return ρ of the differences Q̄(s, a) - V(s), elementwise."""

    def value_loss(self, params: Any, state: State, batch: Batch, target_q: Array) -> tuple[Array, Metrics]:
        """L(V), with `target_q` = Q̄(s, a)."""
        value = state.value(batch.observation, params=params)
        loss = jnp.mean(self.deviation(target_q - value))
        return loss, {"value_loss": loss, "value": value.mean()}

    @abstractmethod
    def actor_loss(
        self, params: Any, state: State, batch: Batch, target_q: Array, key: Array
    ) -> tuple[Array, Metrics]:
        """L(π), with `target_q` = Q̄(s, a)."""

    def update(self, state: State, batch: Batch, key: Array) -> tuple[State, Metrics]:
        """Update V, π, Q and the targets, in this order; L(π) alone draws from `key`."""
        target_q = state.critics(batch.observation, batch.action, params=state.target_critics).min(axis=0)
        value, value_metrics = state.value.minimize(self.value_loss, state, batch, target_q)
        state = replace(state, value=value)
        actor, actor_metrics = state.actor.minimize(self.actor_loss, state, batch, target_q, key)
        critics, critic_metrics = state.critics.minimize(self.critic_loss, state, batch, key)
        target_critics = polyak(state.target_critics, critics.params, self.target_rate)
        state = replace(state, actor=actor, critics=critics, target_critics=target_critics)
        return state, value_metrics | actor_metrics | critic_metrics


@dataclass(frozen=True)
class Regression(InSample):
    """A policy by advantage-weighted regression, with the values of `InSample`: what IQL and XQL share.

        L(π) = -E min(exp(β (Q̄(s, a) - V(s))), clip) log π(a | s)

    π is a normal distribution with mean in (-1, 1) and a standard deviation that does not depend on the
    state; its step size decays to zero along a cosine.
    """

    temperature: float = 3.0
    """β: 0 clones the behaviour, ∞ takes the best action."""
    advantage_clip: float = 100.0
    """Upper bound of the weight exp(β A)."""
    cosine_schedule: bool = True
    """Let the actor's step size decay to zero over the training."""
    actor_dropout: float = 0.0
    """Probability with which an update leaves out a hidden unit of the policy: 0.1 for Adroit and Kitchen."""

    def __post_init__(self) -> None:
        """Raise ValueError for a value that is out of range."""
        super().__post_init__()
        check_at_least(0, self, "temperature")
        check_positive(self, "advantage_clip")
        if not 0 <= self.actor_dropout < 1:
            raise ValueError(f"actor_dropout={self.actor_dropout} must be at least 0 and below 1")

    def init_actor(self, key: Array, networks: Networks, batch: Batch, updates: int) -> Model:
        """Return a fresh policy."""
        optimizer = Adam(self.learning_rate, updates if self.cosine_schedule else None)
        return Model.create(networks.gaussian_policy(self.actor_dropout), optimizer, key, batch.observation)

    def actor_loss(
        self, params: Any, state: State, batch: Batch, target_q: Array, key: Array | None = None
    ) -> tuple[Array, Metrics]:
        """L(π), with `target_q` = Q̄(s, a); `key` draws the hidden units that are left out."""
        advantage = target_q - state.value(batch.observation)
        weight = jnp.minimum(jnp.exp(self.temperature * advantage), self.advantage_clip)
        policy = state.actor(batch.observation, params=params, dropout=key)
        loss = -jnp.mean(weight * policy.log_prob(batch.action))
        metrics = {"actor_loss": loss, "advantage": advantage.mean(), "weight": weight.mean()}
        return loss, metrics | {"policy_std": jnp.exp(policy.log_std).mean()}

    def act(self, state: State, observation: Observation, key: Array | None = None) -> Array:
        """Return the policy's mean, or with `key` a sample of it."""
        return state.actor(observation).act(key)


@dataclass(frozen=True)
class Expectiles(InSample):
    """Values by expectile regression, ρ(u) = |τ - 1(u < 0)| u²: what IQL and IFQL share."""

    expectile: float = 0.7
    """τ: 0.5 averages over the data's actions, 1 takes their maximum."""

    def __post_init__(self) -> None:
        """Raise ValueError for a value that is out of range."""
        super().__post_init__()
        if not 0 < self.expectile < 1:
            raise ValueError(f"expectile={self.expectile} must lie between 0 and 1")

    def deviation(self, difference: Array) -> Array:
        """Return ρ of the differences Q̄(s, a) - V(s), elementwise."""
        return jnp.abs(self.expectile - (difference < 0)) * difference**2


@register("iql")
@dataclass(frozen=True)
class IQL(Expectiles, Regression):
    """Implicit Q-learning: values by expectile regression, a policy by advantage-weighted regression.

    The losses are those of `InSample` and `Regression` (eq. 5 to 7 of the paper) with
    ρ(u) = |τ - 1(u < 0)| u².
    """
