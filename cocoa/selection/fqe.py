"""Fitted Q evaluation (Le, Voloshin, Yue; ICML 2019; arXiv 1903.08738) with a target network.

Paine et al. (2020, arXiv 2007.09055) choose policies by it, Fu et al. (ICLR 2021, arXiv 2103.16596) and
Voloshin et al. (NeurIPS 2021, arXiv 1911.06854) compare it with others.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import struct

from cocoa.algos.base import Algorithm, Array, Metrics, NextActionBatch, Observation
from cocoa.algos.networks import Adam, Model, Networks, polyak


@struct.dataclass
class State:
    """What is learned of a policy."""

    critic: Model
    target_critic: Any


@dataclass(frozen=True)
class FittedQ(Algorithm):
    """The action values Q of a fixed policy π, whose next actions π(s') the batches hold.

    With Q̄ the target network and [low, high] the values that are possible, an update minimises

        L(Q) = E (clip(r + γ (1 - terminal) Q̄(s', π(s')), low, high) - Q(s, a))²

    and then moves Q̄ towards Q. Nothing is learned of π.
    """

    next_actions: ClassVar[bool] = True

    learning_rate: float = 3e-4
    """Adam's step size."""
    target_rate: float = 0.05
    """Share of the critic that enters its target with each update."""
    low: float = -jnp.inf
    """The lowest value that any policy can have."""
    high: float = jnp.inf
    """The highest."""

    def init(self, key: Array, networks: Networks, batch: NextActionBatch, updates: int) -> State:
        """Return a fresh critic; its target equals it."""
        optimizer = Adam(self.learning_rate)
        critic = Model.create(networks.value(), optimizer, key, batch.observation, batch.action)
        return State(critic, critic.params)

    def target(self, state: State, batch: NextActionBatch) -> Array:
        """Return what the critic regresses to, (...)."""
        next_q = state.critic(batch.next_observation, batch.next_action, params=state.target_critic)
        return jnp.clip(batch.reward + self.discount * (1 - batch.terminal) * next_q, self.low, self.high)

    def critic_loss(self, params: Any, state: State, batch: NextActionBatch) -> tuple[Array, Metrics]:
        """L(Q)."""
        target = jax.lax.stop_gradient(self.target(state, batch))
        q = state.critic(batch.observation, batch.action, params=params)
        loss = jnp.mean((target - q) ** 2)
        return loss, {"critic_loss": loss, "q": q.mean()}

    def update(self, state: State, batch: NextActionBatch, key: Array) -> tuple[State, Metrics]:
        """Update Q and its target; draws nothing from `key`."""
        critic, metrics = state.critic.minimize(self.critic_loss, state, batch)
        return replace(
            state, critic=critic, target_critic=polyak(state.target_critic, critic.params, self.target_rate)
        ), metrics

    def act(self, state: State, observation: Observation, key: Array | None = None) -> Array:
        """Raise TypeError: no policy is learned."""
        raise TypeError("fitted Q evaluation learns no policy")

    def action_value(self, state: State, observation: Observation, action: Array) -> Array:
        """Return Q̄(s, a), (...)."""
        return state.critic(observation, action, params=state.target_critic)
