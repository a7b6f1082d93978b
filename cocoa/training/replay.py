"""Transitions that are collected while a training goes on: a buffer of fixed size on the devices.

How much of it is filled is an argument of the programs, so that nothing is compiled again as it grows.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax.sharding import Mesh, NamedSharding

from cocoa.algos.base import Array, Batch
from cocoa.training.seeds import SPLIT, PerSeed, Together, over_seeds, place, spread


@struct.dataclass
class Filled:
    """The transitions that a buffer holds by now."""

    batch: Together
    """A `Batch` with leaves (seeds, capacity, ...)."""
    row: Any
    """The position of a seed among those of its device; of all seeds, `PerSeed`."""
    filled: Array
    """How many of the transitions there are by now, from the first on."""

    def count(self, size: int) -> Array:
        """Return how many transitions there are to draw from."""
        return self.filled

    def take(self, rows: Array, step: Array) -> Batch:
        """Return the transitions `rows`."""
        return jax.tree.map(lambda x: x[self.row, rows], self.batch.values)


class Replay:
    """A feed that grows: the last `capacity` transitions of each seed, as the networks see them."""

    def __init__(self, example: Batch, capacity: int, seeds: int, observe: Any, mesh: Mesh):
        """`example` holds shapes and types, (1, ...), of a transition of one seed as the networks see it.

        `observe` maps states to observations, and may be `PerSeed`.
        """
        self.capacity = capacity
        self.added = 0
        """Transitions of each seed that were added."""
        self._mesh = mesh
        self._observe = place(observe, mesh)
        placed = NamedSharding(mesh, SPLIT)

        def empty(x: Any) -> Array:
            return jnp.zeros((seeds, capacity, *x.shape[1:]), x.dtype, device=placed)

        self._batch = Together(jax.tree.map(empty, example))
        self._rows = place(PerSeed(np.arange(seeds, dtype=np.int32) % (seeds // mesh.size)), mesh)
        self._add = spread(_added, mesh, donate_argnums=0)

    def add(self, rows: PerSeed) -> None:
        """Add transitions: a `Batch` of states and next states, NumPy arrays (seeds, M, ...).

        Raises ValueError unless M divides the capacity, and all that were added before.
        """
        count = rows.values.reward.shape[1]
        if self.capacity % count or self.added % count:
            raise ValueError(f"{count} rows do not fit into a buffer of {self.capacity} after {self.added}")
        start = np.int32(self.added % self.capacity)
        rows, start = place((rows, start), self._mesh)
        self._batch = self._add(self._batch, self._observe, rows, start)
        self.added += count

    def at(self, step: int) -> Filled:
        """Return all transitions that were added, but those that others have replaced."""
        filled = np.int32(min(self.added, self.capacity))
        return Filled(self._batch, self._rows, place(filled, self._mesh))

    def left(self, step: int) -> int:
        """Return for how many updates this suffices."""
        return sys.maxsize

    def starts(self, number: int) -> Filled:
        """Return what a renewal of a model-based algorithm's buffer starts from."""
        return self.at(0)

    def close(self) -> None:
        """Do nothing."""


def _added(batch: Together, observe: Any, rows: PerSeed, start: Array) -> Together:
    """Return the buffers with these rows from the row `start` on."""

    def observed(observe: Any, rows: Batch) -> Batch:
        states = {name: observe(getattr(rows, name)) for name in ("observation", "next_observation")}
        return replace(rows, **states)

    def put(buffer: Array, new: Array) -> Array:
        return jax.lax.dynamic_update_slice_in_dim(buffer, new.astype(buffer.dtype), start, axis=1)

    return Together(jax.tree.map(put, batch.values, over_seeds(observed, observe, rows).values))
