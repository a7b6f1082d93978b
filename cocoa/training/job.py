"""What a training is asked to do, and the state that it changes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from cocoa.algos.base import Algorithm, Array, Batch, World
from cocoa.algos.networks import Networks
from cocoa.dynamics.xla.numerics import HIGHEST
from cocoa.training.seeds import PerSeed, of_seed
from cocoa.training.streams import INITIAL


@struct.dataclass
class TrainState:
    """Everything that changes while a training goes on."""

    learner: PerSeed
    """The algorithm's state."""
    snapshots: PerSeed
    """The learner at each of the last renewals of the buffer, leaves (seeds, rounds, ...). They are saved in
    place of the buffer, which is far larger and is computed from them again."""
    buffer: PerSeed
    """What the source of batches keeps beside the data."""

    @property
    def saved(self) -> TrainState:
        """What is saved: `Training.restore` computes the rest from it."""
        return replace(self, buffer=PerSeed(()))


@dataclass(frozen=True)
class TrainingJob:
    """An algorithm that is trained on a dataset, once for each seed."""

    algorithm: Algorithm
    networks: Networks
    data: Batch
    """All transitions, leaves (N, ...), of which the observations may be `PerSeed`; for `template` alone,
    shapes and types suffice."""
    seeds: tuple[int, ...]
    updates: int
    """The length of the training, for schedules."""
    batch_size: int
    world: World | PerSeed | None = None
    """The learned environment; model-based algorithms need one."""
    matmul_precision: str = HIGHEST
    """Of the matrix products of updates, in JAX's words; those of models and anchors have the highest."""

    @property
    def size(self) -> int:
        """The number of transitions, N."""
        return len(self.data.reward)

    @cached_property
    def example(self) -> Batch:
        """Shapes and types (1, ...) of a transition of one seed."""
        return jax.eval_shape(lambda data: jax.tree.map(lambda x: x[:1], of_seed(data, 0)), self.data)

    def init(self, key: Array) -> Any:
        """Return the learner of the seed with this key before the first update."""
        example = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), self.example)
        return self.algorithm.init(jax.random.fold_in(key, INITIAL), self.networks, example, self.updates)

    def template(self) -> TrainState:
        """Return shapes and types of `TrainState.saved`."""
        learner, snapshots = jax.eval_shape(self.init, jax.eval_shape(lambda: jax.random.key(0))), ()
        if rounds := self.algorithm.source.rounds:
            snapshots = PerSeed.shapes(learner, rounds).values
        count = len(self.seeds)
        return TrainState(PerSeed.shapes(learner, count), PerSeed.shapes(snapshots, count), PerSeed(()))
