"""MoBRAC (Jackson et al.; NeurIPS 2025; arXiv 2504.11453): ReBRAC on data and model rollouts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import jax.numpy as jnp

from cocoa.algos.base import Act, Array, Batch, NextActionBatch, World, check_at_least, concatenate, register
from cocoa.algos.rebrac import ReBRAC
from cocoa.algos.rollouts import Buffer, ModelBased, Rollouts


@dataclass(frozen=True, kw_only=True)
class FollowedRollouts(Rollouts):
    """Rollouts of the policy without its noise, whose transitions hold its action in the next state."""

    def step(self, carry: Any, act: Act, world: World, key: Array) -> tuple[Any, Any]:
        """Imagine a step, its transitions `NextActionBatch`es; see `Rollouts.step`."""

        def policy(observation: Any, _: Array | None) -> Array:
            return act(observation, None)

        carry, (step, *rest) = super().step(carry, policy, world, key)
        next_action = policy(step.next_observation, None)
        known = jnp.ones_like(step.reward)
        return carry, (NextActionBatch(**vars(step), next_action=next_action, next_action_known=known), *rest)

    def draw(self, buffer: Buffer, taken: Batch, world: World, key: Array, size: int) -> Batch:
        """Return the transitions of the data, then as many imagined ones as make `size` in all."""
        return concatenate(taken, self.recall(buffer, key, size - len(taken.reward)))


@register("mobrac")
@dataclass(frozen=True)
class MoBRAC(ModelBased, ReBRAC):
    """MoBRAC: ReBRAC on data and model rollouts whose rewards are lowered where the model is unsure.

    The losses are ReBRAC's, on batches of which the share `real_ratio` is data and the rest is imagined with
    the reward r̂(s, a) - λ max_i |σ_i(s, a)|, as MOPO's. On imagined transitions a and â' are the actions of
    the policy that imagined them, without noise: ReBRAC's penalties hold the policy near its own past there.

    As in the authors' code, but for: rollouts end at a terminal; two updates of the critics have two batches,
    where an update of theirs has one; Adam's ε is 1e-8, theirs 1e-5.
    """

    toy_fields: ClassVar[Mapping[str, Any]] = {"actor_penalty": 0.3, "penalty_weight": 0.1, "real_ratio": 0.5}

    actor_layer_norm: bool = True
    """LayerNorm behind the hidden layers of the policy."""
    actor_penalty: float = 0.001
    """β₁: weight of the distance between policy and batch in the policy's loss."""
    penalty_weight: float = 0.5
    """λ: weight of the model's uncertainty."""

    def __post_init__(self) -> None:
        """Raise ValueError for a value that is out of range."""
        super().__post_init__()
        check_at_least(0, self, "penalty_weight")

    @property
    def source(self) -> FollowedRollouts:
        """Penalised rollouts with next actions."""
        plain = replace(super().source, penalty="aleatoric", weight=self.penalty_weight)
        return FollowedRollouts(**vars(plain))
