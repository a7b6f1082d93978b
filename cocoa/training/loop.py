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
from cocoa.training.devices import SPLIT, WHOLE, copied, seeds_mesh, split
from cocoa.training.feed import Resident, Streamed, data_of_one, feed_of_one


def over_seeds(function: Any, mapped: tuple[Any, ...], shared: tuple[Any, ...]) -> Any:
    """Return `function(*mapped[seed], *shared)` for all seeds, stacked.

    On a CPU the seeds take turns, because batched matrix products are slower there than separate ones; on
    accelerators they are vectorised.
    """
    if jax.default_backend() == "cpu":
        return jax.lax.map(lambda one: function(*one, *shared), mapped)
    axes = (0,) * len(mapped) + (None,) * len(shared)
    return jax.vmap(function, in_axes=axes)(*mapped, *shared)


@struct.dataclass
class TrainState:
    """Everything that changes while a training goes on; leaves have a leading axis of seeds."""

    learner: Any
    """The algorithm's state."""
    snapshots: Any
    """The learner at each of the last renewals of the buffer, leaves (seeds, rounds, ...). They are saved in
    place of the buffer, which is far larger and is made of them again."""
    buffer: Any
    """What the source of batches keeps beside the data."""

    @property
    def saved(self) -> TrainState:
        """What is to be saved, from which `Training.restore` makes the whole."""
        return replace(self, buffer=())


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
        per_seed: bool = False,
        world: World | None = None,
        mesh: Mesh | None = None,
        stream: bool = False,
    ):
        """Prepare a training of `updates` updates on `data`; a model-based algorithm needs a `world`.

        `data` has leaves (N, ...), which all seeds share; with `per_seed` its observations have a leading
        axis of seeds, and so has all of `world`. The seeds are spread evenly over the devices of `mesh`, each
        of which gets one copy of what they share; None is one device. With `stream`, `data` are NumPy arrays
        and stay on the host, and the devices get what the next updates draw.
        """
        self.algorithm = algorithm
        self.source = algorithm.source
        self.networks = networks
        self.updates = updates
        self.batch_size = batch_size
        self.mesh = mesh or seeds_mesh(len(seeds), devices=1)
        keys = jnp.stack([jax.random.key(seed) for seed in seeds])
        self.keys = split(keys, self.mesh)
        self.count = len(data.reward)
        if stream:
            self.feed = Streamed(data, per_seed, self.mesh, keys, self._rows, self._starts)
        else:
            self.feed = Resident(data, per_seed, self.mesh)
        own, common = ({"world": world}, {}) if per_seed else ({}, {"world": world})
        self._worlds = split(own, self.mesh), copied(common, self.mesh)
        self._example = jax.tree.map(lambda x: x[:1], data_of_one(data, per_seed))
        self._buffer = jax.eval_shape(self.source.init, self._example)
        self._chunk = self._compiled(
            self._chunk_of_all_seeds, (SPLIT, SPLIT, WHOLE, SPLIT, WHOLE, SPLIT, WHOLE, WHOLE)
        )
        self._note = self._compiled(self._note_of_all_seeds, (SPLIT, SPLIT, WHOLE))
        self._refresh = self._compiled(self._refresh_of_all_seeds, (SPLIT, SPLIT, WHOLE, SPLIT, WHOLE, SPLIT))

    def init(self) -> TrainState:
        """Return the state before the first update."""
        # Neither jitted nor stacked by JAX: all the small programs for it would have to be compiled.
        keys = jax.device_put(self.keys, jax.local_devices()[0])
        states = [jax.device_get(self._learner(keys[seed])) for seed in range(len(keys))]
        learner = jax.tree.map(lambda *leaves: np.stack(leaves), *states)
        rounds = self.source.rounds
        snapshots = jax.tree.map(lambda x: np.stack([x] * rounds, axis=1), learner) if rounds else ()
        learner, snapshots = split((learner, snapshots), self.mesh)
        return TrainState(learner, snapshots, self._empty_buffer())

    def template(self, seeds: int) -> TrainState:
        """Return shapes and types of `TrainState.saved` for so many seeds."""
        learner, rounds = jax.eval_shape(self._learner, self.keys[0]), self.source.rounds

        def with_axes(*axes: int) -> Any:
            return jax.tree.map(lambda x: jax.ShapeDtypeStruct((*axes, *x.shape), x.dtype), learner)

        return TrainState(with_axes(seeds), with_axes(seeds, rounds) if rounds else (), ())

    def _learner(self, key: Array) -> Any:
        """Return a seed's learner before the first update."""
        key = jax.random.fold_in(key, 0)
        return self.algorithm.init(key, self.networks, self._example, self.updates)

    def restore(self, saved: TrainState, step: int) -> TrainState:
        """Return the state before the update `step`, of which `TrainState.saved` was kept.

        Arrays of `saved` that are on the devices already may be used up by the next chunk.
        """
        state = replace(split(saved, self.mesh), buffer=self._empty_buffer())
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
            place, first, count = self._numbers(number, start, steps)
            arguments = (state.buffer, place, *self._given(self.feed.at(start)), self.keys, first, count)
            learner, metrics = self._chunk(state.learner, *arguments)
            state = replace(state, learner=learner)
            parts.append((steps, metrics))
            start, length = start + steps, length - steps
        return state, _mean(parts)

    def _given(self, feed: tuple[Any, Any]) -> tuple[Any, Any]:
        """Return what a program gets by seed, and what all seeds share: transitions and world."""
        return self._worlds[0] | feed[0], self._worlds[1] | feed[1]

    def _rows(self, key: Array, step: Array) -> Array:
        """Return which transitions a seed's update `step` draws."""
        return self.source.rows(_update_keys(key, step)[0], self.batch_size, self.count)

    def _starts(self, key: Array, number: Array) -> Array:
        """Return which transitions a seed's renewal `number` of the buffer starts from."""
        return cast(RefreshedSource, self.source).starts(_renewal_keys(key, number)[0], self.count)

    def _numbers(self, *numbers: int) -> tuple[Array, ...]:
        """Return numbers on all devices: what is put there is all that a chunk gets from the host."""
        return copied(tuple(np.int32(number) for number in numbers), self.mesh)

    def _renewed(self, state: TrainState, number: int) -> TrainState:
        """Return the state with the buffer's round `number`, made by the learner that is noted for it."""
        given = self._given(self.feed.starts(number))
        buffer = self._refresh(state.buffer, state.snapshots, *self._numbers(number), *given, self.keys)
        return replace(state, buffer=buffer)

    def _compiled(self, function: Any, specs: tuple[Any, ...]) -> Any:
        """Return `function` of all seeds such that each device runs it for its own; it donates the first.

        The types of what varies between devices are not checked: nothing is exchanged between them.
        """
        spread = jax.shard_map(function, mesh=self.mesh, in_specs=specs, out_specs=SPLIT, check_vma=False)
        # Outputs are placed like inputs: else there would be a second program for what the first returns.
        placed = NamedSharding(self.mesh, SPLIT)
        return jax.jit(spread, donate_argnums=0, out_shardings=placed, compiler_options=compiler_options())

    def _empty_buffer(self) -> Any:
        placed = NamedSharding(self.mesh, SPLIT)

        def empty(leaf: Any) -> Array:
            return jnp.zeros((len(self.keys), *leaf.shape), leaf.dtype, device=placed)

        return jax.tree.map(empty, self._buffer)

    def _note_of_all_seeds(self, snapshots: Any, learner: Any, number: Array) -> Any:
        """Return the snapshots with the learner as that of the renewal `number`."""
        slot = number % self.source.rounds
        return jax.tree.map(lambda old, new: old.at[:, slot].set(new), snapshots, learner)

    def _refresh_of_all_seeds(
        self, buffer: Any, snapshots: Any, number: Array, mapped: Any, shared: Any, keys: Array
    ) -> Any:
        def one(buffer: Any, snapshots: Any, key: Array, mapped: Any, shared: Any, number: Array) -> Any:
            learner = jax.tree.map(lambda x: x[number % self.source.rounds], snapshots)
            starts = feed_of_one(mapped, shared).take(self._starts(key, number), number)
            world = (mapped | shared)["world"]
            act = partial(self.algorithm.act, learner)
            source, refresh_key = cast(RefreshedSource, self.source), _renewal_keys(key, number)[1]
            return source.refresh(buffer, number, act, starts, world, refresh_key)

        return over_seeds(one, (buffer, snapshots, keys, mapped), (shared, number))

    def _chunk_of_all_seeds(
        self,
        learner: Any,
        buffer: Any,
        number: Array,
        mapped: Any,
        shared: Any,
        keys: Array,
        start: Array,
        length: Array,
    ) -> tuple[Any, Metrics]:
        return over_seeds(
            self._chunk_of_one_seed, (learner, buffer, keys, mapped), (shared, number, start, length)
        )

    def _chunk_of_one_seed(
        self,
        learner: Any,
        buffer: Any,
        key: Array,
        mapped: Any,
        shared: Any,
        number: Array,
        start: Array,
        length: Array,
    ) -> tuple[Any, Metrics]:
        feed, world = feed_of_one(mapped, shared), (mapped | shared)["world"]

        @partial(jax.jit, inline=True)  # traced once for the metrics' shapes and the loop
        def update(learner: Any, step: Array) -> tuple[Any, Metrics]:
            _, draw_key, update_key = _update_keys(key, step)
            taken = feed.take(self._rows(key, step), step)
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
