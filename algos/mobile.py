"""Model-Bellman inconsistency (Sun et al.; ICML 2023): penalised where models disagree on the value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import struct

from cocoa.algos import sac
from cocoa.algos.base import Array, Batch, Observation, World, check_at_least, register
from cocoa.algos.rollouts import Buffer, MixedBatch, ModelBased, Rollouts


@struct.dataclass
class ImaginedBatch(MixedBatch):
    """A mixed batch with what the members of the model expect to follow on its imagined transitions."""

    imagined: Observation
    """Leaves (samples, members, rows that are not real, ...): next states drawn from each member."""


@dataclass(frozen=True, kw_only=True)
class ImaginedRollouts(Rollouts):
    """Rollouts whose batches hold `samples` next states of every member for each imagined transition."""

    samples: int = 10

    def draw(self, buffer: Buffer, taken: Batch, world: World, key: Array, size: int) -> ImaginedBatch:
        """Return a mixed batch with draws from the model."""
        batch_key, noise_key = jax.random.split(key)
        batch, real = super().draw(buffer, taken, world, batch_key, size), len(taken.reward)
        observation, action = jax.tree.map(lambda x: x[real:], (batch.observation, batch.action))
        mean, std = world.model.distribution(world.state(observation), action)
        mean, std = mean[..., :-1], std[..., :-1]
        drawn = mean + std * jax.random.normal(noise_key, (self.samples, *mean.shape))
        return ImaginedBatch(**vars(batch), imagined=world.observe(drawn))


@register("mobile")
@dataclass(frozen=True)
class MOBILE(ModelBased, sac.SAC):
    """MOBILE: SAC on data and model rollouts, penalised by how much the models' Bellman backups differ.

    SAC's target is lowered, for imagined transitions, by c U(s, a) with

        U(s, a) = Std_i E [min_j Q̄_j(s', ã')],   s' ~ p_i(· | s, a),  ã' ~ π(s')

    the deviation over the members i of the model (unbiased), each expectation estimated by `samples` draws
    (Sun et al. 2023, eq. 5).
    """

    members: ClassVar[int] = 2
    toy_fields: ClassVar[Mapping[str, Any]] = {"penalty_weight": 0.1, "samples": 4, "clamp_target": False}

    actor_learning_rate: float = 1e-4
    """Adam's step size of the policy, and of α."""
    cosine_schedule: bool = True
    """Let the policy's step size decay to zero over the training."""
    deterministic_backup: bool = True
    """Leave the entropy out of the critics' target."""
    penalty_weight: float = 1.5
    """c: weight of the penalty."""
    samples: int = 10
    """Next states drawn from each member of the model."""
    clamp_target: bool = True
    """Keep the critics' targets at 0 or above, as the authors do: wrong where returns may be negative."""

    def __post_init__(self) -> None:
        """Raise ValueError for a value that is out of range."""
        super().__post_init__()
        check_at_least(0, self, "penalty_weight")
        check_at_least(1, self, "samples")

    @property
    def source(self) -> ImaginedRollouts:
        """Rollouts without a penalty, with draws from the model."""
        return ImaginedRollouts(**vars(super().source), samples=self.samples)

    def objection(self, batch: Batch) -> str:
        """Object to rewards below zero where targets are kept above it."""
        if not self.clamp_target or batch.reward.mean() >= 0:
            return ""
        return (
            "Rewards are negative on average, but algo.clamp_target keeps values at 0 or above, as in the "
            "published code. Set algo.clamp_target=false."
        )

    def inconsistency(self, state: sac.State, imagined: Observation, key: Array) -> Array:
        """Return U (B,) of next states with leaves (samples, members, B, ...)."""
        actions = state.actor(imagined).sample(key)
        values = state.critics(imagined, actions, params=state.target_critics).min(axis=0)
        return values.mean(axis=0).std(axis=0, ddof=1)

    def target(self, state: sac.State, batch: Any, key: Array) -> Array:
        """Return what the critics regress to, (B,)."""
        target_key, penalty_key = jax.random.split(key)
        penalty = self.inconsistency(state, batch.imagined, penalty_key)
        penalty = jnp.pad(penalty, (len(batch.reward) - len(penalty), 0))
        target = super().target(state, batch, target_key) - self.penalty_weight * penalty
        return jnp.maximum(target, 0) if self.clamp_target else target
