"""The training loop on the device: chunks of updates for all seeds in one compiled program."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from numpy.typing import ArrayLike

from algos.base import Algorithm, Array, Batch, Metrics
from algos.networks import Networks
from cocoa.decomposition import Observe

CPU_OPTIONS = {"xla_cpu_experimental_ynn_fusion_type": ""}
"""Without the fusions of this library, an update with LayerNorm takes about a sixth less time on CPUs."""


@functools.cache
def compiler_options() -> Mapping[str, str]:
    """Return XLA options for the update on the present backend: none where they are unknown to it."""
    if jax.default_backend() != "cpu":
        return {}
    try:
        jax.jit(lambda x: x, compiler_options=CPU_OPTIONS)(0.0)
    except Exception:  # XLA's options come and go with its versions, and so do the errors for unknown ones.
        return {}
    return CPU_OPTIONS


def over_seeds(function: Any, mapped: tuple[Any, ...], shared: tuple[Any, ...]) -> Any:
    """Return `function(*mapped[seed], *shared)` for all seeds, stacked.

    On a CPU the seeds take turns, because batched matrix products are slower there than separate ones; on
    accelerators they are vectorised.
    """
    if jax.default_backend() == "cpu":
        return jax.lax.map(lambda one: function(*one, *shared), mapped)
    axes = (0,) * len(mapped) + (None,) * len(shared)
    return jax.vmap(function, in_axes=axes)(*mapped, *shared)


class Training:
    """An algorithm on a dataset, for several seeds at once.

    Seeds are independent of each other: each draws its own batches, and its results do not depend on which
    other seeds are trained beside it. The random numbers of an update are a function of seed and step, so
    that a training can be cut between any two chunks.
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
    ):
        """Prepare a training of `updates` updates on `data`.

        `data` has leaves (N, ...), which all seeds share; with `per_seed` its observations have a leading
        axis of seeds.
        """
        self.algorithm = algorithm
        self.networks = networks
        self.updates = updates
        self.batch_size = batch_size
        self.observations = (data.observation, data.next_observation)
        self.rest = (data.action, data.reward, data.terminal)
        self.per_seed = per_seed
        self.keys = jnp.stack([jax.random.key(seed) for seed in seeds])
        self._chunk = jax.jit(
            self._chunk_of_all_seeds, donate_argnums=0, compiler_options=dict(compiler_options())
        )

    def init(self) -> Any:
        """Return the state before the first update, leaves (seeds, ...)."""
        first = (lambda x: x[0, :1]) if self.per_seed else (lambda x: x[:1])
        observations = jax.tree.map(first, self.observations)
        rest = jax.tree.map(lambda x: x[:1], self.rest)
        example = _batch(observations, rest)

        def one(key: Array) -> Any:
            return self.algorithm.init(jax.random.fold_in(key, 0), self.networks, example, self.updates)

        # Not jitted as a whole: that would compile every layer's initialisation anew.
        states = [one(self.keys[seed]) for seed in range(len(self.keys))]
        return jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)

    def chunk(self, state: Any, start: int, length: int) -> tuple[Any, Metrics]:
        """Return the state after the updates start, ..., start + length - 1 and metrics averaged over them.

        Leaves of both have a leading axis of seeds. `state` is donated: it cannot be used again. Every length
        runs the same compiled program.
        """
        return self._chunk(state, self.observations, self.rest, self.keys, start, length)

    def _chunk_of_all_seeds(
        self, state: Any, observations: Any, rest: Any, keys: Array, start: Array, length: Array
    ) -> tuple[Any, Metrics]:
        if self.per_seed:
            return over_seeds(self._chunk_of_one_seed, (state, keys, observations), (rest, start, length))

        def one(state: Any, key: Array, *shared: Any) -> tuple[Any, Metrics]:
            return self._chunk_of_one_seed(state, key, observations, *shared)

        return over_seeds(one, (state, keys), (rest, start, length))

    def _chunk_of_one_seed(
        self, state: Any, key: Array, observations: Any, rest: Any, start: Array, length: Array
    ) -> tuple[Any, Metrics]:
        data = _batch(observations, rest)
        updates_key = jax.random.fold_in(key, 1)

        def update(state: Any, step: Array) -> tuple[Any, Metrics]:
            rows_key, update_key = jax.random.split(jax.random.fold_in(updates_key, step))
            rows = jax.random.randint(rows_key, (self.batch_size,), 0, len(data.reward))
            return self.algorithm.update(state, jax.tree.map(lambda x: x[rows], data), update_key)

        def body(index: Array, carry: tuple[Any, Metrics]) -> tuple[Any, Metrics]:
            state, totals = carry
            state, metrics = update(state, start + index)
            return state, jax.tree.map(jnp.add, totals, metrics)

        shapes = jax.eval_shape(update, state, start)[1]
        totals = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
        state, totals = jax.lax.fori_loop(0, length, body, (state, totals))
        return state, jax.tree.map(lambda total: total / length, totals)


def _batch(observations: tuple[Any, Any], rest: tuple[Array, Array, Array]) -> Batch:
    return Batch(observations[0], *rest, next_observation=observations[1])


class Actor:
    """The deterministic policies of all seeds as one jitted function of states."""

    def __init__(self, algorithm: Algorithm, observe: Observe, per_seed: bool):
        """`observe` maps states to observations; with `per_seed` its leaves have a leading axis of seeds."""
        self.observe = observe
        axes = (0, 0 if per_seed else None, 0)
        self._act = jax.jit(jax.vmap(lambda state, see, x: algorithm.act(state, see(x)), in_axes=axes))

    def __call__(self, state: Any, states: ArrayLike) -> Array:
        """Return actions (seeds, ..., A) in [-1, 1] for states (seeds, ..., O) in the environment's units."""
        return self._act(state, self.observe, states)
