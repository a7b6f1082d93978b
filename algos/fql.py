"""Flow Q-learning (Park, Li, Levine; ICML 2025; arXiv 2502.02538)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import struct

from cocoa.algos.base import Array, Batch, Metrics, Observation, check_at_least, check_positive, register
from cocoa.algos.networks import Adam, Model, Networks, euler, flow_matching, polyak
from cocoa.algos.td import TDLearning

AGGREGATIONS = {"mean": jnp.mean, "min": jnp.min}


@struct.dataclass
class State:
    """What FQL learns."""

    actor: Model
    flow: Model
    critics: Model
    target_critics: Any


@register("fql")
@dataclass(frozen=True)
class FQL(TDLearning):
    """A flow that clones the behaviour, and a policy of one step that stays near it and follows the critics.

    The policy draws z ~ N(0, 1) and takes clip(μ(s, z)); F(s, z) is where the velocity v of the flow leads z,
    clipped as well. With ã' = clip(μ(s', z)), x_0 ~ N(0, 1), t ~ U[0, 1] and x_t = (1 - t) x_0 + t a, one
    update minimises

        L(Q_i) = E (r + γ (1 - terminal) mean_i Q̄_i(s', ã') - Q_i(s, a))²
        L(v)   = E |v(s, x_t, t) - (a - x_0)|² / A
        L(μ)   = α E |μ(s, z) - F(s, z)|² / A - λ E mean_i Q_i(s, clip(μ(s, z)))

    each with the parameters of before the update, and then moves Q̄ towards Q. λ is 1, or with `normalize_q`
    1 / E|mean_i Q_i|, which passes no gradient.
    """

    sampled: ClassVar[bool] = True
    toy_fields: ClassVar[Mapping[str, Any]] = {"learning_rate": 3e-3, "target_rate": 0.05, "alpha": 1.0}

    hidden: tuple[int, ...] = (512, 512, 512, 512)
    """Widths of the hidden layers of all networks, behind the encoder."""
    activation: str = "gelu"
    """Activation of these layers: relu or gelu."""
    alpha: float = 10.0
    """α: weight of the distance to the flow, to be tuned for each dataset; 0.03 to 10 with `normalize_q`."""
    normalize_q: bool = False
    """Divide the critics' term by their mean size, so that α does not depend on the scale of rewards."""
    critics: int = 2
    """Number of critics."""
    aggregation: str = "mean"
    """What the critics' target takes of their values: mean or min."""
    critic_layer_norm: bool = True
    """LayerNorm behind the hidden layers of the critics."""
    flow_steps: int = 10
    """Steps of Euler's method along the flow."""
    learning_rate: float = 3e-4
    """Adam's step size of all networks."""

    def __post_init__(self) -> None:
        """Raise ValueError for a value that is out of range."""
        super().__post_init__()
        check_at_least(0, self, "alpha")
        check_at_least(1, self, "flow_steps")
        check_positive(self, "learning_rate")
        if self.aggregation not in AGGREGATIONS:
            raise ValueError(f"aggregation={self.aggregation} must be one of {', '.join(AGGREGATIONS)}")

    def init(self, key: Array, networks: Networks, batch: Batch, updates: int) -> State:
        """Return fresh networks; targets equal critics."""
        actor_key, flow_key, critics_key = jax.random.split(key, 3)
        optimizer, pair = Adam(self.learning_rate), (batch.observation, batch.action)
        actor = Model.create(networks.noise_policy(), optimizer, actor_key, *pair)
        flow = Model.create(networks.velocity_field(), optimizer, flow_key, *pair, batch.reward)
        values = networks.critics(self.critics, self.critic_layer_norm)
        critics = Model.create(values, optimizer, critics_key, *pair)
        return State(actor, flow, critics, critics.params)

    def next_value(self, state: State, batch: Batch, key: Array) -> Array:
        """Return mean_i Q̄_i(s', ã'), (...), or the minimum."""
        action = self.act(state, batch.next_observation, key)
        return self._aggregate(state.critics(batch.next_observation, action, params=state.target_critics))

    def actor_loss(self, params: Any, state: State, batch: Batch, key: Array) -> tuple[Array, Metrics]:
        """L(μ)."""
        noise = state.actor.module.noise(key, batch.observation)
        goal = jnp.clip(euler(partial(state.flow, batch.observation), noise, self.flow_steps), -1.0, 1.0)
        action = state.actor(batch.observation, noise, params=params)
        distance = jnp.mean((action - goal) ** 2)
        q = state.critics(batch.observation, jnp.clip(action, -1.0, 1.0)).mean(axis=0)
        weight = 1 / jax.lax.stop_gradient(jnp.abs(q).mean()) if self.normalize_q else 1.0
        loss = self.alpha * distance - weight * q.mean()
        return loss, {"actor_loss": loss, "distillation_loss": distance, "q_policy": q.mean()}

    def flow_loss(self, params: Any, state: State, batch: Batch, key: Array) -> tuple[Array, Metrics]:
        """L(v)."""
        velocity = partial(state.flow, batch.observation, params=params)
        loss = flow_matching(velocity, batch.action, key).mean()
        return loss, {"flow_loss": loss}

    def update(self, state: State, batch: Batch, key: Array) -> tuple[State, Metrics]:
        """Update Q, v and μ, none with what the others learn from the batch, and then the targets."""
        critic_key, flow_key, actor_key = jax.random.split(key, 3)
        critics, critic_metrics = state.critics.minimize(self.critic_loss, state, batch, critic_key)
        flow, flow_metrics = state.flow.minimize(self.flow_loss, state, batch, flow_key)
        actor, actor_metrics = state.actor.minimize(self.actor_loss, state, batch, actor_key)
        target_critics = polyak(state.target_critics, critics.params, self.target_rate)
        state = State(actor, flow, critics, target_critics)
        return state, critic_metrics | flow_metrics | actor_metrics

    def act(self, state: State, observation: Observation, key: Array | None = None) -> Array:
        """Return clip(μ(s, z)) for noise z of `key`."""
        noise = state.actor.module.noise(key, observation)
        return jnp.clip(state.actor(observation, noise), -1.0, 1.0)

    def action_value(self, state: State, observation: Observation, action: Array) -> Array:
        """Return mean_i Q_i(s, a), (...), or the minimum."""
        return self._aggregate(state.critics(observation, action))

    def _aggregate(self, values: Array) -> Array:
        return AGGREGATIONS[self.aggregation](values, axis=0)
