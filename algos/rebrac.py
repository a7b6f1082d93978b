"""ReBRAC (Tarasov et al.; NeurIPS 2023; arXiv 2305.09836): TD3+BC with the penalties taken apart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from cocoa.algos.base import Array, Batch, Metrics, check_at_least, register
from cocoa.algos.td3_bc import TD3, State


@register("rebrac")
@dataclass(frozen=True)
class ReBRAC(TD3):
    """ReBRAC: TD3+BC with a penalty on the actor, another on the critics, and LayerNorm in the critics.

    With â' the action that the data took in s', and `TD3`'s Q̄, π̄ and ã,

        L(Q_i) = E (r + γ (1 - terminal) (min_i Q̄_i(s', ã) - β₂ |ã - â'|²) - Q_i(s, a))²
        L(π)   = E (β₁ |π(s) - a|² - λ min_i Q_i(s, π(s))),   λ = 1 / E|min_i Q_i(s, π(s))|

    λ passes no gradient. Where the data does not tell â', its penalty is left out.
    """

    next_actions: ClassVar[bool] = True
    toy_fields: ClassVar[Mapping[str, Any]] = {"actor_penalty": 0.5}

    hidden: tuple[int, ...] = (256, 256, 256)
    """Widths of the hidden layers of actor and critics, behind the encoder."""
    actor_learning_rate: float = 1e-3
    """Adam's step size of the policy."""
    critic_learning_rate: float = 1e-3
    """Adam's step size of the critics."""
    critic_layer_norm: bool = True
    """LayerNorm behind the hidden layers of the critics."""
    actor_penalty: float = 0.01
    """β₁: weight of the distance between policy and data in the policy's loss."""
    critic_penalty: float = 0.01
    """β₂: weight of the same in the critics' target."""

    def __post_init__(self) -> None:
        """Raise ValueError for a value that is out of range."""
        super().__post_init__()
        check_at_least(0, self, "actor_penalty", "critic_penalty")

    def next_value(self, state: State, batch: Any, key: Array) -> Array:
        """Return min_i Q̄_i(s', ã) - β₂ |ã - â'|², (...)."""
        next_action = self.next_action(state, batch, key)
        next_q = state.critics(batch.next_observation, next_action, params=state.target_critics).min(axis=0)
        distance = jnp.sum((next_action - batch.next_action) ** 2, axis=-1)
        return next_q - self.critic_penalty * batch.next_action_known * distance

    def actor_loss(self, params: Any, state: State, batch: Batch) -> tuple[Array, Metrics]:
        """L(π)."""
        action = state.actor(batch.observation, params=params)
        q = state.critics(batch.observation, action).min(axis=0)
        weight = 1 / jax.lax.stop_gradient(jnp.abs(q).mean())
        cloning = jnp.mean(jnp.sum((action - batch.action) ** 2, axis=-1))
        loss = self.actor_penalty * cloning - weight * q.mean()
        return loss, {"actor_loss": loss, "cloning_loss": cloning, "q_policy": q.mean()}
