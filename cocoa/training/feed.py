"""How transitions reach updates: from a copy on the device, or from the host in blocks."""

from __future__ import annotations

import sys
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax.sharding import Mesh

from cocoa.algos.base import Array, Batch
from cocoa.config.schema import Config
from cocoa.data.memory import available_memory
from cocoa.errors import ConfigError
from cocoa.training.devices import host_device
from cocoa.training.seeds import PerSeed, is_per_seed, of_seed, place

_BLOCK_BYTES = 16 * 2**20  # of a seed
_BLOCK_UPDATES = 1000
"""At most so much is taken from the host at a time; a seed's numbers do not depend on the others."""
_DEVICE_SHARE = 0.5
"""The share of a device's memory that the data may fill: setting up a training makes temporary copies."""

Rows = Callable[[Array, Array], Array]
"""From a seed's key and an update's number to the transitions that the update draws."""
Draw = Callable[[Array, Any], Array]
"""From a key and a number of transitions to which of them are drawn, of any shape."""


@struct.dataclass
class Whole:
    """All transitions."""

    batch: Batch
    """Leaves (N, ...)."""

    def rows(self, draw: Draw, key: Array, size: int) -> Array:
        """Return which transitions are drawn, of all `size` of the job."""
        return draw(key, size)

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

    def rows(self, draw: Draw, key: Array, size: int) -> Array:
        """Return which transitions are drawn, of all `size` of the job."""
        return draw(key, size)

    def take(self, rows: Array, step: Array) -> Batch:
        """Return the transitions of the update `step`."""
        return jax.tree.map(lambda x: x[step - self.first], self.batch)


class Feed(Protocol):
    """Where the transitions of a training come from."""

    def at(self, step: int) -> Any:
        """Return what the updates from `step` on need: something with `rows` and `take`, for all seeds."""

    def left(self, step: int) -> int:
        """Return for how many updates from `step` on this suffices."""
        ...

    def starts(self, number: int, step: int) -> Any:
        """Return what the renewal `number` of the buffer, before the update `step`, needs."""

    def close(self) -> None:
        """Release what the feed holds beside its data."""


class Resident:
    """Data of which each device has a copy."""

    def __init__(self, data: Batch, mesh: Mesh):
        """`data` has leaves (N, ...), in parts `PerSeed`."""
        self._data = Whole(place(data, mesh))

    def at(self, step: int) -> Any:
        """Return what the updates from `step` on need: of each seed a `Whole` or `Block`."""
        return self._data

    def left(self, step: int) -> int:
        """Return for how many updates from `step` on this suffices."""
        return sys.maxsize

    def starts(self, number: int, step: int) -> Any:
        """Return what the renewal `number` of the buffer, before the update `step`, needs."""
        return self._data

    def close(self) -> None:
        """Do nothing."""


class Streamed:
    """Data in the host's memory, of which a thread takes the next block while the device is busy.

    The transitions are those that a device with all of the data would draw.
    """

    def __init__(self, data: Batch, mesh: Mesh, keys: Array, draws: Rows, starts: Rows):
        """`data` is as in `Resident`, but of NumPy arrays; `keys` (seeds,) are those of the seeds.

        `draws` and `starts` return which transitions an update, and a renewal of the buffer, need.
        """
        self._data = data
        self._mesh = mesh
        # By the host's processor: on the device it would wait for the updates that it is to prepare.
        self._keys = jax.device_put(keys, host_device())
        rows = jax.eval_shape(draws, self._keys[0], jnp.int32(0)).size
        size = sum(x.nbytes // len(x) for x in jax.tree.leaves(of_seed(data, 0)))
        self.updates = min(_BLOCK_UPDATES, max(1, _BLOCK_BYTES // max(1, rows * size)))
        ahead = jax.vmap(draws, (None, 0))
        self._draws = jax.jit(
            jax.vmap(lambda key, first: ahead(key, first + jnp.arange(self.updates)), (0, None))
        )
        self._starts = jax.jit(jax.vmap(lambda key, number: starts(key, number)[None], (0, None)))
        self._thread = ThreadPoolExecutor(1)
        self._blocks: dict[int, Future[PerSeed]] = {}

    def at(self, step: int) -> Any:
        """Return the block of the update `step`, and begin with the next."""
        number = step // self.updates
        self._blocks = {
            index: self._blocks.get(index)
            or self._thread.submit(self._block, self._draws, index * self.updates)
            for index in (number, number + 1)
        }
        return self._blocks[number].result()

    def left(self, step: int) -> int:
        """Return how many updates from `step` on are in its block."""
        return self.updates - step % self.updates

    def starts(self, number: int, step: int) -> Any:
        """Return the transitions of the renewal `number` of the buffer, as a block of that alone."""
        return self._block(self._starts, number)

    def close(self) -> None:
        """Stop the thread, and drop what it has taken."""
        self._thread.shutdown(cancel_futures=True)
        self._blocks = {}

    def _block(self, needed: Callable[..., Array], first: int) -> PerSeed:
        """Return each seed's `Block` from `first` on, on the devices; `needed` tells its transitions."""
        rows = np.asarray(needed(self._keys, np.int32(first)))

        def take(part: Any) -> Any:
            if not is_per_seed(part):
                return part[rows]
            return jax.tree.map(lambda x: np.stack([x[i][rows[i]] for i in range(len(rows))]), part.values)

        batch = jax.tree.map(take, self._data, is_leaf=is_per_seed)
        firsts: Any = np.full(len(rows), first, np.int32)
        return place(PerSeed(Block(firsts, batch)), self._mesh)


def too_large(batch: Batch, config: Config) -> bool:
    """Return whether all transitions, as the networks will see them, are too large for a device's memory."""
    limit = device_memory()
    return limit is not None and data_bytes(batch, config) > limit


def check_batch(batch: Batch, config: Config) -> None:
    """Raise ConfigError if a device has no room for the transitions of an update and one layer's outputs.

    `batch` are all transitions. Both are there at the same time, of one seed at least.
    """
    memory = device_memory()
    room = available_memory() if memory is None else memory / _DEVICE_SHARE
    widest = max((config.cocoa or config.algo).hidden, default=0)
    needed = config.batch_size * (seen_bytes(batch, config, 1) / len(batch.reward) + 4 * widest)
    if room is not None and needed > room:
        raise ConfigError(
            f"batch_size={config.batch_size} needs at least {needed / 1e9:,.1f} GB for an update, and "
            f"{room / 1e9:,.1f} GB are available. Take smaller batches."
        )


def device_memory() -> float | None:
    """Return the bytes that the data may fill on a device; None where the device does not tell."""
    memory = jax.local_devices()[0].memory_stats()
    return _DEVICE_SHARE * memory["bytes_limit"] if memory and "bytes_limit" in memory else None


def data_bytes(batch: Batch, config: Config) -> int:
    """Return the bytes of all transitions as the networks of all seeds will see them."""
    per_seed = config.cocoa is not None and config.cocoa.per_seed
    return seen_bytes(batch, config, len(config.seeds) if per_seed else 1)


def seen_bytes(batch: Batch, config: Config, copies: int) -> int:
    """Return the bytes of transitions as networks see them; COCOA decomposes each state `copies` times."""
    observations = batch.observation.nbytes + batch.next_observation.nbytes
    rest = sum(x.nbytes for x in jax.tree.leaves(batch)) - observations
    return rest + observations * (2 * copies if config.cocoa else 1)
