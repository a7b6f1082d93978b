"""The training loop on the device: chunks of updates for all seeds in one compiled program."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax.sharding import Mesh, NamedSharding

from cocoa.algos.base import Algorithm, Array, Batch, Metrics, RefreshedSource, World
from cocoa.algos.networks import Networks
from cocoa.dynamics.xla.compiler import compiler_options
from cocoa.training.devices import seeds_mesh
from cocoa.training.feed import Block, Resident, Streamed, Whole
from cocoa.training.seeds import SPLIT, PerSeed, of_seed, over_seeds, place, specs


@struct.dataclass
class TrainState:
    """Everything that changes while a training goes on."""

    learner: PerSeed
    """The algorithm's state."""
    snapshots: PerSeed
    """The learner at each of the last renewals of the buffer, leaves (seeds, rounds, ...). They are saved in
    place of the buffer, which is far larger and is made of them again."""
    buffer: PerSeed
    """What the source of batches keeps beside the data."""

    @property
    def saved(self) -> TrainState:
        """What is to be saved, from which `Training.restore` makes the whole."""
        return replace(self, buffer=PerSeed(()))


class Training:
    """An algorithm on a dataset, for several seeds at once.

    Seeds are independent of each other: each draws its own batches, and its results do not depend on which
    other seeds are trained beside it, nor on which device. The random numbers of an update are a function of
    seed and step, so that a training can be cut between any two chunks.
    """

    def __init__(
        self,
        algorithm: Algorithm,
        networks: Networks,
        data: Batch,
        seeds: tuple[int, ...],
        updates: int,
        batch_size: int,
        world: World | PerSeed | None = None,
        mesh: Mesh | None = None,
        stream: bool = False,
    ):
        """Prepare a training of `updates` updates on `data`; a model-based algorithm needs a `world`.

        `data` has leaves (N, ...); the observations and the `world` may be `PerSeed`. The seeds are spread
        evenly over the devices of `mesh`, each of which gets one copy of what they share; None is one device.
        With `stream`, `data` are NumPy arrays on the host, and the devices get what the next updates draw.
        """
        self.algorithm = algorithm
        self.source = algorithm.source
        self.networks = networks
        self.updates = updates
        self.batch_size = batch_size
        self.mesh = mesh or seeds_mesh(len(seeds), devices=1)
        keys = jnp.stack([jax.random.key(seed) for seed in seeds])
        self.keys = place(PerSeed(keys), self.mesh)
        self.count = len(data.reward)
        self.world = place(world, self.mesh)
        if stream:
            self.feed = Streamed(data, self.mesh, keys, self._rows, self._starts)
        else:
            self.feed = Resident(data, self.mesh)
        self._example = jax.tree.map(lambda x: x[:1], of_seed(data, 0))
        self._buffer = jax.eval_shape(self.source.init, self._example)
        self._chunk = self._compiled(partial(over_seeds, self._chunk_of_one_seed))
        self._note = self._compiled(self._noted)
        self._refresh = self._compiled(partial(over_seeds, self._refresh_of_one_seed))

    def init(self) -> TrainState:
        """Return the state before the first update."""
        # Neither jitted nor stacked by JAX: all the small programs for it would have to be compiled.
        keys = jax.device_put(self.keys.values, jax.local_devices()[0])
        learner = PerSeed.stack([jax.device_get(self._learner(keys[seed])) for seed in range(len(keys))])
        rounds = self.source.rounds
        snapshots = PerSeed(())
        if rounds:
            snapshots = jax.tree.map(lambda x: np.stack([x] * rounds, axis=1), learner)
        learner, snapshots = place((learner, snapshots), self.mesh)
        return TrainState(learner, snapshots, self._empty_buffer())

    def template(self, seeds: int) -> TrainState:
        """Return shapes and types of `TrainState.saved` for so many seeds."""
        learner = jax.eval_shape(self._learner, self.keys.values[0])
        snapshots, rounds = (), self.source.rounds
        if rounds:
            snapshots = jax.tree.map(lambda x: jax.ShapeDtypeStruct((rounds, *x.shape), x.dtype), learner)
        return TrainState(PerSeed.shapes(learner, seeds), PerSeed.shapes(snapshots, seeds), PerSeed(()))

    def _learner(self, key: Array) -> Any:
        """Return a seed's learner before the first update."""
        key = jax.random.fold_in(key, 0)
        return self.algorithm.init(key, self.networks, self._example, self.updates)

    def restore(self, saved: TrainState, step: int) -> TrainState:
        """Return the state before the update `step`, of which `TrainState.saved` was kept.

        Arrays of `saved` that are on the devices already may be used up by the next chunk.
        """
        state = replace(place(saved, self.mesh), buffer=self._empty_buffer())
        if every := self.source.every:
            done = -(-step // every)
            for number in range(max(0, done - self.source.rounds), done):
                state = self._renewed(state, number)
        return state

    def chunk(self, state: TrainState, start: int, length: int) -> tuple[TrainState, Metrics]:
        """Return the state after the updates start, ..., start + length - 1 and metrics averaged over them.

        Leaves of both have a leading axis of seeds. `state` is donated: it cannot be used again. Every length
        runs the same compiled program.
        """
        parts: list[tuple[int, Metrics]] = []
        every, rounds = self.source.every or start + length, self.source.rounds
        while length:
            number = start // every
            if rounds and start % every == 0:
                snapshots = self._note(state.snapshots, state.learner, *self._numbers(number))
                state = self._renewed(replace(state, snapshots=snapshots), number)
            steps = min(length, (number + 1) * every - start, self.feed.left(start))
            data, numbers = self.feed.at(start), self._numbers(number, start, steps)
            result = self._chunk(state.learner, state.buffer, data, self.world, self.keys, *numbers).values
            state = replace(state, learner=PerSeed(result[0]))
            parts.append((steps, result[1]))
            start, length = start + steps, length - steps
        return state, _mean(parts)

    def _rows(self, key: Array, step: Array) -> Array:
        """Return which transitions a seed's update `step` draws."""
        return self.source.rows(_update_keys(key, step)[0], self.batch_size, self.count)

    def _starts(self, key: Array, number: Array) -> Array:
        """Return which transitions a seed's renewal `number` of the buffer starts from."""
        return cast(RefreshedSource, self.source).starts(_renewal_keys(key, number)[0], self.count)

    def _numbers(self, *numbers: int) -> tuple[Array, ...]:
        """Return numbers on all devices: what is put there is all that a chunk gets from the host."""
        return place(tuple(np.int32(number) for number in numbers), self.mesh)

    def _renewed(self, state: TrainState, number: int) -> TrainState:
        """Return the state with the buffer's round `number`, made by the learner that is noted for it."""
        starts, (position,) = self.feed.starts(number), self._numbers(number)
        buffer = self._refresh(state.buffer, state.snapshots, starts, self.world, self.keys, position)
        return replace(state, buffer=buffer)

    def _compiled(self, function: Any) -> Any:
        """Return `function` of all seeds such that each device runs it for its own; it donates the first.

        It returns what is `PerSeed`. The types of what varies between devices are not checked: nothing is
        exchanged between them.
        """

        def spread(*arguments: Any) -> Any:
            types = {"in_specs": specs(arguments), "out_specs": SPLIT, "check_vma": False}
            return jax.shard_map(function, mesh=self.mesh, **types)(*arguments)

        # Outputs are placed like inputs: else there would be a second program for what the first returns.
        placed = NamedSharding(self.mesh, SPLIT)
        return jax.jit(spread, donate_argnums=0, out_shardings=placed, compiler_options=compiler_options())

    def _empty_buffer(self) -> PerSeed:
        placed = NamedSharding(self.mesh, SPLIT)
        shapes = PerSeed.shapes(self._buffer, len(self.keys.values))
        return jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype, device=placed), shapes)

    def _noted(self, snapshots: PerSeed, learner: PerSeed, number: Array) -> PerSeed:
        """Return the snapshots with the learner as that of the renewal `number`."""
        slot = number % self.source.rounds
        return jax.tree.map(lambda old, new: old.at[:, slot].set(new), snapshots, learner)

    def _refresh_of_one_seed(
        self, buffer: Any, snapshots: Any, data: Whole | Block, world: World, key: Array, number: Array
    ) -> Any:
        learner = jax.tree.map(lambda x: x[number % self.source.rounds], snapshots)
        starts = data.take(self._starts(key, number), number)
        act = partial(self.algorithm.act, learner)
        source, refresh_key = cast(RefreshedSource, self.source), _renewal_keys(key, number)[1]
        return source.refresh(buffer, number, act, starts, world, refresh_key)

    def _chunk_of_one_seed(
        self,
        learner: Any,
        buffer: Any,
        data: Whole | Block,
        world: World | None,
        key: Array,
        number: Array,
        start: Array,
        length: Array,
    ) -> tuple[Any, Metrics]:
        @partial(jax.jit, inline=True)  # traced once for the metrics' shapes and the loop
        def update(learner: Any, step: Array) -> tuple[Any, Metrics]:
            _, draw_key, update_key = _update_keys(key, step)
            taken = data.take(self._rows(key, step), step)
            batch = self.source.draw(buffer, taken, world, draw_key, self.batch_size)
            return self.algorithm.update(learner, batch, update_key)

        def body(index: Array, carry: tuple[Any, Metrics]) -> tuple[Any, Metrics]:
            learner, totals = carry
            learner, metrics = update(learner, start + index)
            return learner, jax.tree.map(jnp.add, totals, metrics)

        shapes = jax.eval_shape(update, learner, start)[1]
        totals = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
        learner, totals = jax.lax.fori_loop(0, length, body, (learner, totals))
        metrics = jax.tree.map(lambda total: total / length, totals)
        return learner, metrics | self.source.metrics(buffer, number)


def _mean(parts: list[tuple[int, Metrics]]) -> Metrics:
    """Return the means of metrics over parts of so many updates each."""
    if len(parts) == 1:
        return parts[0][1]
    total = sum(steps for steps, _ in parts)
    shares = jnp.array([steps / total for steps, _ in parts])
    return {name: jnp.tensordot(shares, jnp.stack([m[name] for _, m in parts]), 1) for name in parts[0][1]}


def _update_keys(key: Array, step: Array) -> Array:
    """Return a seed's three keys for an update: the source's `rows`, its `draw`, and the update itself."""
    return jax.random.split(jax.random.fold_in(jax.random.fold_in(key, 1), step), 3)


def _renewal_keys(key: Array, number: Array) -> Array:
    """Return a seed's two keys for a renewal of the buffer: the source's `starts` and its `refresh`."""
    return jax.random.split(jax.random.fold_in(jax.random.fold_in(key, 2), number))
