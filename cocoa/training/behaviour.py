"""What chooses the actions of steps that are collected: the stochastic policies of all seeds, or chance."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from cocoa.algos.base import Algorithm
from cocoa.dynamics.xla.pruning import PrunedFunction
from cocoa.training.seeds import PerSeed, is_per_seed, of_seed, place

Sample = Callable[[Any, Any, Any], tuple[Any, Any]]
"""From a learner, observations (n, ...) and a key to actions (n, A) in [-1, 1] and log-densities (n,), or NaN
where these are not known."""
Behaviour = Callable[[int, np.ndarray, int], tuple[Any, Any]]
"""From a seed's position, states (n, O) and a step's number to actions (n, A) and log-densities (n,)."""
Policies = list[list[Any]]
"""Of each seed the arrays that its policy reads."""


class Sampler:
    """The stochastic policies of all seeds."""

    def __init__(self, sample: Sample, learner: PerSeed, observe: Any, seeds: Sequence[int], mesh: Mesh):
        """`learner` holds shapes and types; `observe` maps states to observations and may be `PerSeed`.

        `mesh` holds the policies.
        """
        keys = np.stack([jax.random.key_data(jax.random.key(seed)) for seed in seeds])
        self._rest = place((observe, PerSeed(keys)), mesh)
        self._mesh = mesh
        tree = (learner, *self._rest)
        example = jax.eval_shape(lambda tree: of_seed(tree, 0), tree)

        def act(tree: tuple[Any, Any, Any], inputs: tuple[Any, Any]) -> tuple[Any, Any]:
            (learner, observe, bits), (states, numbers) = tree, inputs
            key = jax.random.wrap_key_data(bits)
            for number in numbers:
                key = jax.random.fold_in(key, number)
            return sample(learner, observe(states), key)

        state = jax.ShapeDtypeStruct((1, *example[1].mean.shape), np.float32)
        numbers = jax.ShapeDtypeStruct((2,), np.int32)
        self._program = PrunedFunction(act, example, (state, numbers), mesh.devices.flat[0])
        self._separate = self._program.leaves(jax.tree.map(_marked, tree, is_leaf=is_per_seed))

    def policies(self, learner: PerSeed) -> Policies:
        """Return the policies of learners: copies, which last while the learners are trained further."""
        leaves = self._program.leaves((learner, *self._rest))
        parts = [PerSeed(leaf) if own else leaf for own, leaf in zip(self._separate, leaves, strict=True)]
        columns = [_by_seed(part) for part in place(parts, self._mesh)]
        seeds = max(len(column) for column in columns)
        rows = [[x for x in column for _ in range(seeds // len(column))] for column in columns]
        return [list(policy) for policy in zip(*rows, strict=True)]

    def behaviour(self, policies: Policies, stream: int) -> Behaviour:
        """Return how policies act; the noise of a step is a function of seed, `stream` and its number."""

        def act(row: int, states: np.ndarray, number: int) -> tuple[Any, Any]:
            return self._program(policies[row], (states, np.array([stream, number], np.int32)))

        return act


def placed_like(policies: Policies, template: Policies) -> Policies:
    """Return policies that were saved, on the devices of those of `template`."""
    return jax.tree.map(lambda x, there: jax.device_put(x, there.sharding), policies, template)


def stochastic(algorithm: Algorithm) -> Sample:
    """Return how the stochastic policy of any algorithm acts; it does not tell densities.

    One that has diverged acts with 0, so that the environments of the other seeds are stepped on.
    """

    def sample(learner: Any, observation: Any, key: Any) -> tuple[Any, Any]:
        action = algorithm.act(learner, observation, key)
        return jnp.where(jnp.isfinite(action), action, 0), jnp.nan

    return sample


def uniform(seeds: Sequence[int], stream: int, action_dim: int) -> Behaviour:
    """Return the behaviour whose actions are uniform in [-1, 1]: a function of seed, `stream` and step."""

    def act(row: int, states: np.ndarray, number: int) -> tuple[np.ndarray, float]:
        rng = np.random.default_rng([seeds[row], stream, number])
        return rng.uniform(-1, 1, (len(states), action_dim)), -action_dim * np.log(2.0)

    return act


def _marked(part: Any) -> Any:
    """Return for each leaf of a part of a tree whether each seed has its own."""
    return jax.tree.map(lambda _: is_per_seed(part), part)


def _by_seed(part: Any) -> list[Any]:
    """Return an array on a mesh as copies of each seed's, or of what is shared as that of each device."""
    if not is_per_seed(part):
        return [shard.data for shard in part.addressable_shards]
    return [shard.data[row] for shard in part.values.addressable_shards for row in range(len(shard.data))]
