"""How transitions come to updates: from a copy on the device, or from the host in blocks."""

from __future__ import annotations

import sys
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax.sharding import Mesh

from cocoa.algos.base import Array, Batch
from cocoa.config.schema import Config
from cocoa.training.devices import copied, host_device, split

_BLOCK_BYTES = 16 * 2**20  # of a seed
_BLOCK_UPDATES = 1000
"""At most so much is taken from the host at a time; a seed's numbers do not depend on the others."""
_DEVICE_SHARE = (
    0.5  # of a device's memory, which the data may fill; copies arise while a training is prepared
)

Rows = Callable[[Array, Array], Array]
"""From a seed's key and an update's number to the transitions that the update draws."""


@struct.dataclass
class Whole:
    """All transitions."""

    batch: Batch
    """Leaves (N, ...)."""

    def take(self, rows: Array, step: Array) -> Batch:
        """Return the transitions `rows`."""
        return jax.tree.map(lambda x: x[rows], self.batch)


@struct.dataclass
class Block:
    """The transitions of some consecutive updates, taken beforehand."""

    first: Array
    """The first of the updates."""
    batch: Batch
    """Leaves (updates, ...)."""

    def take(self, rows: Array, step: Array) -> Batch:
        """Return the transitions of the update `step`."""
        return jax.tree.map(lambda x: x[step - self.first], self.batch)


class Resident:
    """Data of which each device has a copy."""

    def __init__(self, data: Batch, per_seed: bool, mesh: Mesh):
        """`data` has leaves (N, ...); with `per_seed`, its observations have a leading axis of seeds."""
        own, common = _parted(data, per_seed)
        self._given = split(own, mesh), copied(common, mesh)

    def at(self, step: int) -> tuple[Any, Any]:
        """Return what the updates from `step` on need: by seed, and shared by all. See `feed_of_one`."""
        return self._given

    def left(self, step: int) -> int:
        """Return for how many updates from `step` on this suffices."""
        return sys.maxsize

    def starts(self, number: int) -> tuple[Any, Any]:
        """Return what the renewal `number` of the buffer needs."""
        return self._given

    def close(self) -> None:
        """Do nothing."""


class Streamed:
    """Data in the host's memory, of which a thread takes the next block while the device is busy.

    The transitions are those that a device with all of the data would draw.
    """

    def __init__(self, data: Batch, per_seed: bool, mesh: Mesh, keys: Array, draws: Rows, starts: Rows):
        """`data` is as in `Resident`, but of NumPy arrays.

        `draws` and `starts` return which transitions an update, and a renewal of the buffer, need.
        """
        self._own, self._common = _parted(data, per_seed)
        self._mesh = mesh
        # By the host's processor: on the device it would wait for the updates that it is to prepare.
        self._keys = jax.device_put(keys, host_device())
        rows = jax.eval_shape(draws, self._keys[0], jnp.int32(0)).size
        size = sum(x.nbytes // len(x) for x in jax.tree.leaves(data_of_one(data, per_seed)))
        self.updates = min(_BLOCK_UPDATES, max(1, _BLOCK_BYTES // max(1, rows * size)))
        ahead = jax.vmap(draws, (None, 0))
        self._draws = jax.jit(
            jax.vmap(lambda key, first: ahead(key, first + jnp.arange(self.updates)), (0, None))
        )
        self._starts = jax.jit(jax.vmap(lambda key, number: starts(key, number)[None], (0, None)))
        self._thread = ThreadPoolExecutor(1)
        self._blocks: dict[int, Future[Block]] = {}

    def at(self, step: int) -> tuple[Any, Any]:
        """Return the block of the update `step`, and begin with the next."""
        number = step // self.updates
        wanted = (number, number + 1)
        self._blocks = {
            each: self._blocks.get(each) or self._thread.submit(self._taken, self._draws, each * self.updates)
            for each in wanted
        }
        return {"block": self._blocks[number].result()}, {}

    def left(self, step: int) -> int:
        """Return how many updates from `step` on are in its block."""
        return self.updates - step % self.updates

    def starts(self, number: int) -> tuple[Any, Any]:
        """Return the transitions of the renewal `number` of the buffer, as a block of that alone."""
        return {"block": self._taken(self._starts, number)}, {}

    def close(self) -> None:
        """Stop the thread; what it has taken is dropped."""
        self._thread.shutdown(cancel_futures=True)
        self._blocks = {}

    def _taken(self, needed: Any, first: int) -> Block:
        """Return what `needed` says for all seeds, leaves (seeds, ...), on their devices."""
        rows = np.asarray(needed(self._keys, np.int32(first)))
        own = [jax.tree.map(lambda x, s=seed: x[s][rows[s]], self._own) for seed in range(len(rows))]
        common = jax.tree.map(lambda x: x[rows], self._common)
        own = jax.tree.map(lambda *leaves: np.stack(leaves), *own)
        firsts: Any = np.full(len(rows), first, np.int32)
        return split(Block(firsts, _joined(own, common)), self._mesh)


def feed_of_one(own: Any, common: Any) -> Whole | Block:
    """Return a seed's transitions, given its own part and the shared one of what a feed returns."""
    return own["block"] if "block" in own else Whole(_joined(own, common))


def data_of_one(data: Batch, per_seed: bool) -> Batch:
    """Return the transitions as the first seed sees them."""
    own, common = _parted(data, per_seed)
    return _joined(jax.tree.map(lambda x: x[0], own), common)


def _parted(data: Batch, per_seed: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what has an axis of seeds, and what all seeds share."""
    observations = {"observations": (data.observation, data.next_observation)}
    rest = {"rest": replace(data, observation=None, next_observation=None)}
    return (observations, rest) if per_seed else ({}, observations | rest)


def _joined(own: dict[str, Any], common: dict[str, Any]) -> Batch:
    """Undo `_parted`."""
    parts = own | common
    observation, next_observation = parts["observations"]
    return replace(parts["rest"], observation=observation, next_observation=next_observation)


def too_large(batch: Batch, config: Config) -> bool:
    """Tell whether all transitions, as the networks will see them, are too large for a device's memory."""
    known = jax.local_devices()[0].memory_stats()
    if not known or "bytes_limit" not in known:
        return False
    observations = batch.observation.nbytes + batch.next_observation.nbytes
    size = sum(x.nbytes for x in jax.tree.leaves(batch)) - observations
    if config.cocoa:  # two vectors for each state
        observations *= 2 * (len(config.seeds) if config.cocoa.per_seed else 1)
    return size + observations > _DEVICE_SHARE * known["bytes_limit"]
