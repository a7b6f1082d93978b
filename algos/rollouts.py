"""Batches that mix data with what a learned model imagines (MBPO, Janner et al., NeurIPS 2019)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import struct

from cocoa.algos.base import (
    Act,
    Array,
    Batch,
    Metrics,
    Observation,
    RefreshedSource,
    World,
    check_at_least,
    concatenate,
)
from cocoa.dynamics.penalties import PENALTIES
from cocoa.dynamics.xla.blocks import count_blocks

TERMINATIONS = ("auto", "known", "never", "learned")
_ROWS_AT_ONCE = 5000  # keeps the activations of the members in a CPU's cache


@struct.dataclass
class MixedBatch(Batch):
    """Transitions of the data, then imagined ones; `real` (B,) tells them apart."""

    real: Array


@struct.dataclass
class Buffer:
    """What was imagined in the last rounds."""

    rows: Any
    """What is kept of transitions, by default all, leaves (rounds, capacity, ...)."""
    counts: Array
    """(rounds,): how many rows, from the front, each round has."""
    metrics: Metrics
    """(rounds,) each."""


@dataclass(frozen=True, kw_only=True)
class Rollouts(RefreshedSource):
    """Model rollouts from states of the data under the policy, renewed every `every` updates.

    A rollout goes on until a step is terminal or `length` steps are done; nothing is kept of what would come
    after a terminal. Each step is drawn from a random member of the model; its reward is lowered by `weight`
    times the `penalty` (see `cocoa.dynamics.penalties`). The last `rounds` rounds are kept.
    """

    length: int
    start_count: int
    real_ratio: float
    penalty: str = "none"
    weight: float = 0.0

    @property
    def capacity(self) -> int:
        """How many transitions a round can have."""
        return self.start_count * self.length

    def init(self, data: Batch) -> Buffer:
        """Return an empty buffer for transitions as in `data`, leaves (N, ...)."""
        rows = jax.tree.map(
            lambda x: jnp.zeros((self.rounds, self.capacity, *x.shape[1:]), x.dtype), self.kept(data)
        )
        nothing = {
            name: jnp.zeros(self.rounds) for name in ("rollout_reward", "rollout_penalty", "rollout_steps")
        }
        return Buffer(rows, jnp.zeros(self.rounds, jnp.int32), nothing)

    def kept(self, step: Batch) -> Any:
        """Return what the buffer keeps of imagined transitions (..., ...): here the whole of them."""
        return step

    def starts(self, key: Array, count: int) -> Array:
        """Return indices of the transitions from which rollouts start: (blocks, rows)."""
        blocks = count_blocks(self.start_count, _ROWS_AT_ONCE)
        return jax.random.randint(key, (blocks, self.start_count // blocks), 0, count)

    def refresh(
        self, buffer: Buffer, number: Array, act: Act, starts: Batch, world: World, key: Array
    ) -> Buffer:
        """Return the buffer with round `number`, imagined under the policy `act`, in place of the oldest."""
        rows, count, metrics = self.imagine(act, starts.observation, world, key)
        slot = number % self.rounds
        return Buffer(
            rows=jax.tree.map(lambda old, new: old.at[slot].set(new), buffer.rows, self.kept(rows)),
            counts=buffer.counts.at[slot].set(count),
            metrics={name: old.at[slot].set(metrics[name]) for name, old in buffer.metrics.items()},
        )

    def imagine(
        self, act: Act, starts: Observation, world: World, key: Array
    ) -> tuple[Batch, Array, Metrics]:
        """Return transitions (capacity, ...), of which only the first `count` are there, and `count`.

        `starts` has leaves (blocks, rows, ...).
        """

        def block(args: tuple[Observation, Array]) -> Any:
            observation, block_key = args
            state = world.state(observation)
            carry = (state, observation, jnp.ones(len(state), bool))
            keys = jax.random.split(block_key, self.length)
            return jax.lax.scan(lambda carry, key: self.step(carry, act, world, key), carry, keys)[1]

        keys = jax.random.split(key, len(jax.tree.leaves(starts)[0]))
        rows, present, penalty = jax.lax.map(block, (starts, keys))
        rows, present, penalty = jax.tree.map(
            lambda x: x.reshape(self.capacity, *x.shape[3:]), (rows, present, penalty)
        )
        order = jnp.argsort(~present, stable=True)
        count = present.sum()
        metrics = {
            "rollout_reward": jnp.sum(jnp.where(present, rows.reward, 0)) / count,
            "rollout_penalty": jnp.sum(jnp.where(present, penalty, 0)) / count,
            "rollout_steps": count / self.start_count,
        }
        return jax.tree.map(lambda x: x[order], rows), count, metrics

    def step(self, carry: Any, act: Act, world: World, key: Array) -> tuple[Any, Any]:
        """Imagine a step of B rollouts under the policy `act`.

        `carry` and the first that is returned: states (B, O), their observations, and bool (B,), which
        rollouts go on from there. The second: transitions (B, ...), which of them are there, their penalty.
        """
        state, observation, running = carry
        action_key, member_key, noise_key = jax.random.split(key, 3)
        action = act(observation, action_key)
        mean, std = world.model.distribution(state, action)
        member = jax.random.randint(member_key, (len(state),), 0, len(mean))
        rows = jnp.arange(len(state))
        drawn = mean[member, rows]
        drawn += std[member, rows] * jax.random.normal(noise_key, drawn.shape)
        next_state, reward = drawn[:, :-1], world.reward(drawn[:, -1])
        penalty = PENALTIES[self.penalty](mean, std)
        terminal = world.terminated(state, action, next_state)
        reward = reward - self.weight * penalty
        # A member that has left the range of numbers says nothing of what comes next.
        running &= jnp.isfinite(mean + std).all(axis=(0, -1)) & jnp.isfinite(reward)
        next_observation = world.observe(next_state)
        step = Batch(observation, action, reward, terminal.astype(jnp.float32), next_observation)
        return (next_state, next_observation, running & ~terminal), (step, running, penalty)

    def rows(self, key: Array, size: int, count: int) -> Array:
        """Return indices of the transitions that make the share `real_ratio` of a batch of `size`."""
        return jax.random.randint(key, (round(size * self.real_ratio),), 0, count)

    def draw(self, buffer: Buffer, taken: Batch, world: World, key: Array, size: int) -> Batch:
        """Return the transitions of the data, then as many imagined ones as make `size` in all."""
        real = len(taken.reward)
        mixed = concatenate(taken, self.recall(buffer, key, size - real))
        return MixedBatch(**vars(mixed), real=jnp.arange(size) < real)

    def recall(self, buffer: Buffer, key: Array, count: int) -> Any:
        """Return `count` rows of the buffer, drawn uniformly over all that are there."""
        ends = jnp.cumsum(buffer.counts)
        places = jax.random.randint(key, (count,), 0, ends[-1])
        rounds = jnp.searchsorted(ends, places, side="right")
        places = places - (ends - buffer.counts)[rounds]
        return jax.tree.map(lambda x: x[rounds, places], buffer.rows)

    def metrics(self, buffer: Buffer, number: Array) -> Metrics:
        """Return what is to be logged of round `number`."""
        return {name: values[number % self.rounds] for name, values in buffer.metrics.items()}


@dataclass(frozen=True)
class ModelBased:
    """Fields of algorithms that learn from model rollouts, too, to be mixed into others."""

    members: ClassVar[int] = 1
    toy_fields: ClassVar[Mapping[str, Any]] = {
        "rollout_length": 3,
        "rollout_starts": 128,
        "rollout_every": 6,
        "rollout_rounds": 2,
    }

    rollout_length: int = 5
    """Steps of a model rollout."""
    rollout_starts: int = 50_000
    """Rollouts per round, each from a random state of the data."""
    rollout_every: int = 1000
    """Updates between two rounds of rollouts."""
    rollout_rounds: int = 5
    """Rounds that are kept."""
    real_ratio: float = 0.05
    """Share of the data in each batch; the rest is imagined."""
    termination: str = "auto"
    """When rollouts end: known (the environment's rule), never, learned (from the data), or auto: known where
    it is, never where the data have no terminals."""

    def __post_init__(self) -> None:
        """Raise ValueError for a value that is out of range."""
        super().__post_init__()  # type: ignore[misc]  # the algorithm's
        check_at_least(1, self, "rollout_length", "rollout_starts", "rollout_every", "rollout_rounds")
        if not 0 <= self.real_ratio < 1:
            raise ValueError(f"real_ratio={self.real_ratio} must be at least 0 and less than 1")
        if self.termination not in TERMINATIONS:
            raise ValueError(f"termination={self.termination} must be one of {', '.join(TERMINATIONS)}")

    @property
    def source(self) -> Rollouts:
        """Rollouts without a penalty."""
        return Rollouts(
            every=self.rollout_every,
            rounds=self.rollout_rounds,
            length=self.rollout_length,
            start_count=self.rollout_starts,
            real_ratio=self.real_ratio,
        )
