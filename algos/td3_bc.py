"""TD3+BC (Fujimoto, Gu; NeurIPS 2021; arXiv 2106.06860)."""

from __future__ import annotations

from abc import abstractmethod
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
    check_at_least,
    check_positive,
    register,
)
from cocoa.algos.networks import Adam, Gaussian, Model, Networks, polyak
from cocoa.algos.td import TDLearning


@struct.dataclass
class State:
    """What TD3 learns."""

    actor: Model
    critics: Model
    target_actor: Any
    target_critics: Any
    step: Array
    actor_metrics: Metrics
    """Of the last update of the policy, which not every step has."""


@dataclass(frozen=True)
class TD3(TDLearning):
    """TD3 with the policy's loss of a subclass: what TD3+BC and ReBRAC share.

    With targets Q̄, π̄ and smoothed next actions ã = clip(π̄(s') + clip(N(0, σ²), -c, c), -1, 1),

        L(Q_i) = E (r + γ (1 - terminal) min_i Q̄_i(s', ã) - Q_i(s, a))²

    π and all targets move with every `policy_delay`-th update of Q.
    """

    toy_fields: ClassVar[Mapping[str, Any]] = {
        "actor_learning_rate": 3e-3,
        "critic_learning_rate": 3e-3,
        "target_rate": 0.05,
    }

    policy_noise: float = 0.2
    """σ: standard deviation of the noise on the target's actions."""
    noise_clip: float = 0.5
    """c: bound of that noise."""
    policy_delay: int = 2
    """Updates of the critics per update of policy and targets."""
    actor_learning_rate: float = 3e-4
    """Adam's step size of the policy."""
    critic_learning_rate: float = 3e-4
    """Adam's step size of the critics."""
    actor_layer_norm: bool = False
    """LayerNorm behind the hidden layers of the policy."""
    critic_layer_norm: bool = False
    """LayerNorm behind the hidden layers of the critics."""

    def __post_init__(self) -> None:
        """Raise ValueError for a value that is out of range."""
        super().__post_init__()
        check_at_least(1, self, "policy_delay")
        check_at_least(0, self, "policy_noise", "noise_clip")
        check_positive(self, "actor_learning_rate", "critic_learning_rate")

    def init(self, key: Array, networks: Networks, batch: Batch, updates: int) -> State:
        """Return fresh networks; targets equal them."""
        actor_key, critics_key = jax.random.split(key)
        values = networks.critics(self.critics, self.critic_layer_norm)
        policy = networks.deterministic_policy(self.actor_layer_norm)
        actor = Model.create(policy, Adam(self.actor_learning_rate), actor_key, batch.observation)
        critics = Model.create(
            values, Adam(self.critic_learning_rate), critics_key, batch.observation, batch.action
        )
        nothing = {name: jnp.float32(0) for name in ("actor_loss", "cloning_loss", "q_policy")}
        return State(actor, critics, actor.params, critics.params, jnp.int32(0), nothing)

    def next_action(self, state: State, batch: Batch, key: Array) -> Array:
        """Return the smoothed next action ã, (..., A)."""
        noise = self.policy_noise * jax.random.normal(key, batch.action.shape)
        noise = jnp.clip(noise, -self.noise_clip, self.noise_clip)
        next_action = state.actor(batch.next_observation, params=state.target_actor) + noise
        return jnp.clip(next_action, -1.0, 1.0)

    def next_value(self, state: State, batch: Batch, key: Array) -> Array:
        """Return min_i Q̄_i(s', ã), (...)."""
        next_action = self.next_action(state, batch, key)
        return state.critics(batch.next_observation, next_action, params=state.target_critics).min(axis=0)

    @abstractmethod
    def actor_loss(self, params: Any, state: State, batch: Batch) -> tuple[Array, Metrics]:
        """L(π), and the metrics `actor_loss`, `cloning_loss` and `q_policy`."""

    def update(self, state: State, batch: Batch, key: Array) -> tuple[State, Metrics]:
        """Update Q, and in every `policy_delay`-th call π and the targets."""
        critics, metrics = state.critics.minimize(self.critic_loss, state, batch, key)
        state = replace(state, critics=critics, step=state.step + 1)
        due = state.step % self.policy_delay == 0
        state = jax.lax.cond(due, lambda: self._update_policy(state, batch), lambda: state)
        return state, metrics | state.actor_metrics

    def _update_policy(self, state: State, batch: Batch) -> State:
        actor, metrics = state.actor.minimize(self.actor_loss, state, batch)
        return replace(
            state,
            actor=actor,
            target_actor=polyak(state.target_actor, actor.params, self.target_rate),
            target_critics=polyak(state.target_critics, state.critics.params, self.target_rate),
            actor_metrics=metrics,
        )

    def held_out(self, state: State, batch: Batch, key: Array) -> Metrics:
        """Return the metrics of all losses, whether or not the next update would be one of π."""
        return super().held_out(replace(state, step=jnp.int32(self.policy_delay - 1)), batch, key)

    def act(self, state: State, observation: Observation, key: Array | None = None) -> Array:
        """Return the policy's action, or with `key` that with noise N(0, σ²)."""
        return Gaussian(state.actor(observation), jnp.log(self.policy_noise)).act(key)


@register("td3_bc")
@dataclass(frozen=True)
class TD3BC(TD3):
    """TD3 with behaviour cloning: the losses of `TD3`, and

        L(π) = -λ E Q_1(s, π(s)) + E |π(s) - a|² / A,   λ = α / E|Q_1(s, π(s))|

    λ passes no gradient. The paper standardises observations: `data.observation_normalization=true`.
    """

    alpha: float = 2.5
    """α: weight of the value against cloning."""

    def __post_init__(self) -> None:
        """Raise ValueError for a value that is out of range."""
        super().__post_init__()
        check_at_least(0, self, "alpha")

    def actor_loss(self, params: Any, state: State, batch: Batch) -> tuple[Array, Metrics]:
        """L(π)."""
        action = state.actor(batch.observation, params=params)
        q = state.critics.module.single(state.critics.params, 0)(batch.observation, action)
        weight = self.alpha / jax.lax.stop_gradient(jnp.abs(q).mean())
        cloning = jnp.mean((action - batch.action) ** 2)
        loss = -weight * q.mean() + cloning
        return loss, {"actor_loss": loss, "cloning_loss": cloning, "q_policy": q.mean()}
