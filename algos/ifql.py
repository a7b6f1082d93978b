"""Implicit flow Q-learning (Park, Li, Levine; ICML 2025; arXiv 2502.02538): IDQL with a flow."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from cocoa.algos.base import Array, Batch, Metrics, Observation, check_at_least, register
from cocoa.algos.iql import Expectiles, State
from cocoa.algos.networks import Adam, Model, Networks, euler, flow_matching


@register("ifql")
@dataclass(frozen=True)
class IFQL(Expectiles):
    """IQL's value and critics, and as the policy the best of several draws from a flow that clones the data.

    The losses are those of `InSample` with ρ(u) = |τ - 1(u < 0)| u² and, for the velocity v of the flow,

        L(v) = E |v(s, x_t, t) - (a - x_0)|² / A,   x_t = (1 - t) x_0 + t a,   x_0 ~ N(0, 1),   t ~ U[0, 1]

    The policy leads n draws of normal noise along the flow, clips them and takes the one of largest
    min_i Q_i(s, a): the flow version of IDQL (Hansen-Estruch et al. 2023; arXiv 2304.10573). In the authors'
    code each loss has the parameters of before the update.
    """

    sampled: ClassVar[bool] = True

    hidden: tuple[int, ...] = (512, 512, 512, 512)
    """Widths of the hidden layers of all networks, behind the encoder."""
    activation: str = "gelu"
    """Activation of these layers: relu or gelu."""
    critic_layer_norm: bool = True
    """LayerNorm behind the hidden layers of critics and value."""
    expectile: float = 0.9
    """τ: 0.5 averages over the data's actions, 1 takes their maximum."""
    samples: int = 32
    """n: number of draws of which the policy takes the best; 1 clones the behaviour."""
    flow_steps: int = 10
    """Steps of Euler's method along the flow."""

    def __post_init__(self) -> None:
        """Raise ValueError for a value that is out of range."""
        super().__post_init__()
        check_at_least(1, self, "samples", "flow_steps")

    def init_actor(self, key: Array, networks: Networks, batch: Batch, updates: int) -> Model:
        """Return a fresh flow."""
        inputs = batch.observation, batch.action, batch.reward
        return Model.create(networks.velocity_field(), Adam(self.learning_rate), key, *inputs)

    def actor_loss(
        self, params: Any, state: State, batch: Batch, target_q: Array, key: Array
    ) -> tuple[Array, Metrics]:
        """L(v)."""
        velocity = partial(state.actor, batch.observation, params=params)
        loss = flow_matching(velocity, batch.action, key).mean()
        return loss, {"actor_loss": loss}

    def act(self, state: State, observation: Observation, key: Array | None = None) -> Array:
        """Return the best of n draws, which `key` decides."""
        noise = state.actor.module.noise(key, observation, self.samples)
        actions = jnp.clip(euler(partial(state.actor, observation), noise, self.flow_steps), -1.0, 1.0)
        repeated = jax.tree.map(lambda x: jnp.broadcast_to(x, (self.samples, *x.shape)), observation)
        best = self.action_value(state, repeated, actions).argmax(axis=0)
        return jnp.take_along_axis(actions, best[None, ..., None], axis=0)[0]
