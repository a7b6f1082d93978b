"""The training loop on the device: chunks of updates for all seeds in one compiled program."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding

from cocoa.algos.base import Array, Metrics, RefreshedSource, World
from cocoa.algos.networks import packed, unpacked
from cocoa.training.devices import seeds_mesh
from cocoa.training.feed import Block, Feed, Resident, Streamed, Whole
from cocoa.training.job import TrainingJob, TrainState
from cocoa.training.replay import Filled
from cocoa.training.seeds import SPLIT, PerSeed, over_seeds, place, spread
from cocoa.training.streams import RENEWALS, UPDATES

Fed = Whole | Block | Filled
_ALL = Whole(())  # type: ignore[arg-type]  # all transitions of the job, of which only the number counts


class Training:
    """The updates of a job, for all its seeds at once.

    Seeds are independent of each other: each draws its own batches, and its results do not depend on which
    other seeds are trained beside it, nor on which device. The random numbers of an update are a function of
    seed and step, so that a training can be cut between any two chunks.
    """

    def __init__(
        self,
        job: TrainingJob,
        mesh: Mesh | None = None,
        stream: bool = False,
        feed: Feed | None = None,
    ):
        """Put the job's data where they are needed.

        The seeds are spread evenly over the devices of `mesh`, each of which gets one copy of what they
        share; None is one device. With `stream` the job's data are NumPy arrays and stay on the host, and the
        devices get what the next updates draw. With `feed` the transitions come from there, whatever the
        job's data are.
        """
        self.job = job
        self.algorithm, self.source = job.algorithm, job.algorithm.source
        self.mesh = mesh or seeds_mesh(len(job.seeds), devices=1)
        keys = jnp.stack([jax.random.key(seed) for seed in job.seeds])
        self.keys = place(PerSeed(keys), self.mesh)
        self.world = place(job.world, self.mesh)
        self.feed: Feed
        if feed:
            self.feed = feed
        elif stream:
            self.feed = Streamed(job.data, self.mesh, keys, self._rows, self._starts)
        else:
            self.feed = Resident(job.data, self.mesh)
        renewing = partial(spread, mesh=self.mesh, donate_argnums=0)
        self._chunk = renewing(partial(over_seeds, self._chunk_of_one_seed))
        self._note = renewing(self._noted)
        self._refresh = renewing(partial(over_seeds, self._refresh_of_one_seed))

    def init(self) -> TrainState:
        """Return the state before the first update."""
        # Neither jitted nor stacked by JAX: all the small programs for it would have to be compiled.
        keys = jax.device_put(self.keys.values, jax.local_devices()[0])
        learner = PerSeed.stack([jax.device_get(self.job.init(keys[seed])) for seed in range(len(keys))])
        rounds = self.source.rounds
        snapshots = PerSeed(())
        if rounds:
            snapshots = jax.tree.map(lambda x: np.stack([x] * rounds, axis=1), learner)
        learner, snapshots = place((learner, snapshots), self.mesh)
        return TrainState(learner, snapshots, self._empty_buffer())

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
        return state, mean(parts)

    def _rows(self, key: Array, step: Array, data: Fed = _ALL) -> Array:
        """Return which transitions of `data` a seed's update `step` draws."""

        def draw(key: Array, count: Any) -> Array:
            return self.source.rows(key, self.job.batch_size, count)

        return data.rows(draw, _update_keys(key, step)[0], self.job.size)

    def _starts(self, key: Array, number: Array, data: Fed = _ALL) -> Array:
        """Return from which transitions of `data` a seed's renewal `number` of the buffer starts."""
        draw = cast(RefreshedSource, self.source).starts
        return data.rows(draw, _renewal_keys(key, number)[0], self.job.size)

    def _numbers(self, *numbers: int) -> tuple[Array, ...]:
        """Return numbers on all devices: what is put there is all that a chunk gets from the host."""
        return place(tuple(np.int32(number) for number in numbers), self.mesh)

    def _renewed(self, state: TrainState, number: int) -> TrainState:
        """Return the state with the buffer's round `number`, made by the learner that is noted for it."""
        starts = self.feed.starts(number, number * (self.source.every or 0))
        (position,) = self._numbers(number)
        buffer = self._refresh(state.buffer, state.snapshots, starts, self.world, self.keys, position)
        return replace(state, buffer=buffer)

    def _empty_buffer(self) -> PerSeed:
        placed = NamedSharding(self.mesh, SPLIT)
        buffer = jax.eval_shape(self.source.init, self.job.example)
        shapes = PerSeed.shapes(buffer, len(self.job.seeds))
        return jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype, device=placed), shapes)

    def _noted(self, snapshots: PerSeed, learner: PerSeed, number: Array) -> PerSeed:
        """Return the snapshots with the learner as that of the renewal `number`."""
        slot = number % self.source.rounds
        return jax.tree.map(lambda old, new: old.at[:, slot].set(new), snapshots, learner)

    def _refresh_of_one_seed(
        self,
        buffer: Any,
        snapshots: Any,
        data: Fed,
        world: World,
        key: Array,
        number: Array,
    ) -> Any:
        learner = jax.tree.map(lambda x: x[number % self.source.rounds], snapshots)
        starts = data.take(self._starts(key, number, data), number)
        act = partial(self.algorithm.act, learner)
        source, refresh_key = cast(RefreshedSource, self.source), _renewal_keys(key, number)[1]
        return source.refresh(buffer, number, act, starts, world, refresh_key)

    def _chunk_of_one_seed(
        self,
        learner: Any,
        buffer: Any,
        data: Fed,
        world: World | None,
        key: Array,
        number: Array,
        start: Array,
        length: Array,
    ) -> tuple[Any, Metrics]:
        @partial(jax.jit, inline=True)  # traced once for the metrics' shapes and the loop
        def update(learner: Any, step: Array) -> tuple[Any, Metrics]:
            _, draw_key, update_key = _update_keys(key, step)
            taken = data.take(self._rows(key, step, data), step)
            batch = self.source.draw(buffer, taken, world, draw_key, self.job.batch_size)
            with jax.default_matmul_precision(self.job.matmul_precision):
                return self.algorithm.update(learner, batch, update_key)

        def body(index: Array, carry: tuple[Any, Metrics]) -> tuple[Any, Metrics]:
            vectors, totals = carry
            moved, metrics = update(unpacked(vectors, learner), start + index)
            return packed(moved), jax.tree.map(jnp.add, totals, metrics)

        shapes = jax.eval_shape(update, learner, start)[1]
        totals = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
        vectors, totals = jax.lax.fori_loop(0, length, body, (packed(learner), totals))
        metrics = jax.tree.map(lambda total: total / length, totals)
        return unpacked(vectors, learner), metrics | self.source.metrics(buffer, number)


def mean(parts: list[tuple[int, Metrics]]) -> Metrics:
    """Return the means of metrics over parts (updates, metrics)."""
    if len(parts) == 1:
        return parts[0][1]
    total = sum(steps for steps, _ in parts)
    shares = jnp.array([steps / total for steps, _ in parts])
    return {name: jnp.tensordot(shares, jnp.stack([m[name] for _, m in parts]), 1) for name in parts[0][1]}


def _update_keys(key: Array, step: Array) -> Array:
    """Return a seed's three keys for an update: the source's `rows`, its `draw`, and the update itself."""
    return jax.random.split(jax.random.fold_in(jax.random.fold_in(key, UPDATES), step), 3)


def _renewal_keys(key: Array, number: Array) -> Array:
    """Return a seed's two keys for a renewal of the buffer: the source's `starts` and its `refresh`."""
    return jax.random.split(jax.random.fold_in(jax.random.fold_in(key, RENEWALS), number))
