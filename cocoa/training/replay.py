"""Transitions that are collected while a training goes on: buffers of fixed size on the devices.

How much of them is filled is an argument of the programs, so that nothing is compiled again as they grow.
"""

from __future__ import annotations

import sys
from dataclasses import fields, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax.sharding import Mesh, NamedSharding

from cocoa.algos.base import Array, Batch, NextActionBatch
from cocoa.data.behaviour import extended
from cocoa.training.feed import Draw
from cocoa.training.returns import returns_to_go
from cocoa.training.seeds import SPLIT, PerSeed, Together, over_seeds, place, spread
from cocoa.training.turns import Turns


@struct.dataclass
class Collected:
    """Steps of n instances of an environment: row t n + i is the step t of the instance i."""

    batch: Batch
    """Leaves (..., M, ...): of states where they arise, of observations in a buffer."""
    ends: Any
    """(..., M) bool: whether an episode ends with the step, whatever ends it."""


@struct.dataclass
class Filled:
    """The transitions that there are by now: those of a dataset, then what a seed has collected."""

    data: Batch | None
    """The dataset's, leaves (N, ...); None: there is none."""
    collected: Together
    """A `Collected` with leaves (seeds, capacity, ...)."""
    row: Any
    """The position of a seed among those of its device; of all seeds, `PerSeed`."""
    filled: Array
    """How many rows of `collected` there are by now, from the first on."""
    returns: Together | None
    """Of these rows the discounted returns from there on, (seeds, capacity); None: nobody needs them."""
    instances: int = struct.field(pytree_node=False)
    balanced: bool = struct.field(pytree_node=False)

    def rows(self, draw: Draw, key: Array, size: int) -> Array:
        """Return which transitions are drawn; `size` is N, where there is a dataset.

        All have the same chance. If `balanced`, every other one is of the dataset and all others are
        collected, as soon as there are any.
        """
        if self.data is None:
            return draw(key, self.filled)
        if not self.balanced:
            return draw(key, size + self.filled)
        data_key, collected_key = jax.random.split(key)
        known, new = draw(data_key, size), size + draw(collected_key, self.filled)
        odd = jnp.arange(known.size).reshape(known.shape) % 2 == 1
        return jnp.where(odd & (self.filled > 0), new, known)

    def take(self, rows: Array, step: Array) -> Batch:
        """Return the transitions `rows`."""
        if self.data is None:
            return self._collected(rows)
        size = len(self.data.reward)
        known = jax.tree.map(lambda x: x[jnp.minimum(rows, size - 1)], self.data)
        new = self._collected(jnp.maximum(rows - size, 0))

        def choose(known: Array, new: Array) -> Array:
            is_new = (rows >= size).reshape(rows.shape + (1,) * (known.ndim - rows.ndim))
            return jnp.where(is_new, new, known)

        return jax.tree.map(choose, known, new)

    def _collected(self, rows: Array) -> Batch:
        """Return these rows of what was collected."""
        held: Collected = self.collected.values
        batch = jax.tree.map(lambda x: x[self.row, rows], held.batch)
        if self.returns is not None:
            batch = extended(batch, return_to_go=self.returns.values[self.row, rows])
        if not isinstance(self.data, NextActionBatch):
            return batch
        following = rows + self.instances
        known = ~held.ends[self.row, rows] & (following < self.filled)
        action = jnp.where(known[..., None], held.batch.action[self.row, following], 0)
        return extended(batch, next_action=action, next_action_known=known.astype(batch.reward.dtype))


class Replay:
    """A feed that grows: what each seed collects, as the networks see it, beside a dataset if there is."""

    def __init__(
        self,
        example: Batch,
        capacity: int,
        seeds: int,
        observe: Any,
        mesh: Mesh,
        turns: Turns,
        instances: int = 1,
        data: Batch | None = None,
        balanced: bool = False,
        discount: float | None = None,
    ):
        """`example` holds shapes and types, (1, ...), of a transition of one seed as the networks see it.

        `observe` maps states to observations, and may be `PerSeed`. `instances` is how many instances of the
        environment each seed has. The dataset's `data` are as in `Resident`; `balanced` is as in `Filled`.
        Transitions get their returns with `discount`; None: they get none.
        """
        self.capacity = capacity
        self.added = 0
        """Transitions of each seed that were added."""
        self._mesh, self._turns = mesh, turns
        self._static = {"instances": instances, "balanced": balanced}
        self._observe, self._data = place((observe, data), mesh)
        placed = NamedSharding(mesh, SPLIT)

        def empty(x: Any) -> Array:
            return jnp.zeros((seeds, capacity, *x.shape[1:]), x.dtype, device=placed)

        ends = jax.ShapeDtypeStruct((1,), bool)
        columns = {field.name: getattr(example, field.name) for field in fields(Batch)}
        self._collected = Together(jax.tree.map(empty, Collected(Batch(**columns), ends)))
        self._rows = place(PerSeed(np.arange(seeds, dtype=np.int32) % (seeds // mesh.size)), mesh)
        self._add = spread(_added, mesh, donate_argnums=0)
        self._returns = None
        if discount is not None:
            self._returns = spread(partial(_returns, instances=instances, discount=discount), mesh)

    def add(self, rows: PerSeed) -> None:
        """Add transitions: a `Collected` of states, NumPy arrays (seeds, M, ...).

        Raises ValueError if there is no room for them.
        """
        end = self.added + rows.values.ends.shape[1]
        if end > self.capacity:
            raise ValueError(f"{end} rows do not fit into a buffer of {self.capacity}")
        rows, start = place((rows, np.int32(self.added)), self._mesh)
        self._collected = self._add(self._collected, self._observe, rows, start)
        self.added = end

    def at(self, step: int) -> Filled:
        """Return what the update `step` draws from, though more may have been added since."""
        filled = place(np.int32(min(self._turns.collected(step), self.added)), self._mesh)
        returns = self._returns(self._collected, filled) if self._returns else None
        return Filled(self._data, self._collected, self._rows, filled, returns, **self._static)

    def left(self, step: int) -> int:
        """Return for how many updates this suffices."""
        return sys.maxsize

    def starts(self, number: int, step: int) -> Filled:
        """Return what the renewal `number` of a model-based algorithm's buffer, before the update `step`, is
        made from.
        """
        return self.at(step)

    def close(self) -> None:
        """Do nothing."""


def _added(held: Together, observe: Any, rows: PerSeed, start: Array) -> Together:
    """Return the buffers with these rows from the row `start` on."""

    def observed(observe: Any, rows: Collected) -> Collected:
        batch = rows.batch
        states = {name: observe(getattr(batch, name)) for name in ("observation", "next_observation")}
        return replace(rows, batch=replace(batch, **states))

    def put(buffer: Array, new: Array) -> Array:
        return jax.lax.dynamic_update_slice_in_dim(buffer, new.astype(buffer.dtype), start, axis=1)

    return Together(jax.tree.map(put, held.values, over_seeds(observed, observe, rows).values))


def _returns(held: Together, filled: Array, instances: int, discount: float) -> Together:
    """Return the returns of the first `filled` rows, (seeds, capacity)."""
    collected: Collected = held.values
    reward, terminal = collected.batch.reward, collected.batch.terminal
    seeds, capacity = collected.ends.shape

    def by_step(x: Array) -> Array:
        return x.reshape(seeds, -1, instances).swapaxes(0, 1).reshape(-1, seeds * instances)

    columns = by_step(reward), by_step(terminal), by_step(collected.ends)
    returns = returns_to_go(*columns, filled // instances, discount)
    return Together(returns.reshape(-1, seeds, instances).swapaxes(0, 1).reshape(seeds, capacity))
