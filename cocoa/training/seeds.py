"""What each seed has of its own, and what all seeds share: a mark on parts of any pytree."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from cocoa.dynamics.xla.compiler import compiler_options

AXIS = "seeds"
"""The axis of a mesh of devices over which seeds are spread."""
SPLIT, SHARED = PartitionSpec(AXIS), PartitionSpec()
"""How `PerSeed` leaves lie on a mesh, each device holding its own seeds, and how all others do."""


@struct.dataclass
class PerSeed:
    """A part of a pytree of which each seed has its own; all that is not in a `PerSeed` is shared."""

    values: Any
    """A pytree whose leaves have a leading axis of seeds."""

    @classmethod
    def stack(cls, trees: Sequence[Any]) -> PerSeed:
        """Return trees of equal structure, one for each seed, as one; NumPy arrays stay NumPy arrays."""

        def stack(*leaves: Any) -> Any:
            return (np if isinstance(leaves[0], np.ndarray) else jnp).stack(leaves)

        return cls(jax.tree.map(stack, *trees))

    @classmethod
    def shapes(cls, tree: Any, seeds: int) -> PerSeed:
        """Return shapes and types of `seeds` trees like `tree`, whose leaves are arrays or shapes."""
        return cls(jax.tree.map(lambda x: jax.ShapeDtypeStruct((seeds, *x.shape), x.dtype), tree))


@struct.dataclass
class Together:
    """A part of a pytree that each seed has as its own, and that the seeds of a device are handed as one.

    A seed takes its own by its row. So a large part is not copied for each seed in turn, as a `PerSeed` is.
    """

    values: Any
    """A pytree whose leaves have a leading axis of seeds."""


def is_per_seed(tree: Any) -> bool:
    """Return whether the whole tree is a `PerSeed`."""
    return isinstance(tree, PerSeed)


def of_seed(tree: Any, index: int) -> Any:
    """Return the tree of the seed at this index: its part of each `PerSeed`, and all that is shared."""
    return _replaced(lambda part: jax.tree.map(lambda x: x[index], part.values), tree)


def for_seeds(tree: Any, seeds: slice) -> Any:
    """Return the tree with these of its seeds."""
    return _replaced(lambda part: jax.tree.map(lambda x: x[seeds], part), tree)


def unstack(tree: Any) -> list[Any]:
    """Return the tree of each seed, as `of_seed` does; some part of `tree` is a `PerSeed`."""
    parts, structure = jax.tree.flatten(tree, is_leaf=is_per_seed)
    seeds = next(len(jax.tree.leaves(part)[0]) for part in parts if is_per_seed(part))
    columns = [_rows(part.values) if is_per_seed(part) else [part] * seeds for part in parts]
    return [jax.tree.unflatten(structure, row) for row in zip(*columns, strict=True)]


def over_seeds(function: Callable[..., Any], *arguments: Any) -> PerSeed:
    """Return what `function` returns for each seed's arguments; some part of them is a `PerSeed`.

    On a CPU the seeds take turns, because batched matrix products are slower there than separate ones; on
    accelerators they are vectorised. What is shared is not repeated.
    """

    def of_one(values: list[Any]) -> Any:
        remaining = iter(values)
        return function(*_replaced(lambda _: next(remaining), arguments))

    parts = jax.tree.leaves(arguments, is_leaf=is_per_seed)
    values = [part.values for part in parts if is_per_seed(part)]
    if jax.default_backend() == "cpu":
        return PerSeed(jax.lax.map(of_one, values))
    return PerSeed(jax.vmap(of_one)(values))


def specs(tree: Any) -> Any:
    """Return a prefix of the tree with the placement of its parts on a mesh: `SPLIT` or `SHARED`."""

    def is_split(part: Any) -> bool:
        return isinstance(part, PerSeed | Together)

    return jax.tree.map(lambda part: SPLIT if is_split(part) else SHARED, tree, is_leaf=is_split)


def spread(function: Callable[..., Any], mesh: Mesh, **options: Any) -> Callable[..., Any]:
    """Return `function` of all seeds, compiled such that each device of a mesh runs it for its own.

    Its arguments are placed by `place`, and it returns what is `PerSeed`. The types of what varies between
    devices are not checked: nothing is exchanged between them. `options` are those of `jax.jit`.
    """

    def of_all(*arguments: Any) -> Any:
        types = {"in_specs": specs(arguments), "out_specs": SPLIT, "check_vma": False}
        return jax.shard_map(function, mesh=mesh, **types)(*arguments)

    # Outputs are placed like inputs: else there would be a second program for what the first returns.
    placed = NamedSharding(mesh, SPLIT)
    return jax.jit(of_all, out_shardings=placed, compiler_options=compiler_options(), **options)


def place(tree: Any, mesh: Mesh, copy: bool = False) -> Any:
    """Return the tree on a mesh: each seed's part on its device, and one copy of the rest on every device.

    With `copy` the result has memory of its own, even where the tree lies there already.
    """
    shardings = jax.tree.map(lambda spec: NamedSharding(mesh, spec), specs(tree))
    return jax.device_put(tree, shardings, may_alias=False if copy else None)


def by_seed(tree: Any) -> list[Any]:
    """Return a tree that `place` has put on a mesh as the tree of each seed, on the seed's device."""
    leaves, structure = jax.tree.flatten(tree)
    devices = zip(*([shard.data for shard in leaf.addressable_shards] for leaf in leaves), strict=True)
    return [seed for shards in devices for seed in unstack(jax.tree.unflatten(structure, shards))]


def _replaced(change: Callable[[PerSeed], Any], tree: Any) -> Any:
    """Return the tree with each `PerSeed` changed."""
    return jax.tree.map(lambda part: change(part) if is_per_seed(part) else part, tree, is_leaf=is_per_seed)


@jax.jit  # else a program would be compiled for every shape
def _rows(tree: Any) -> list[Any]:
    """Return the trees whose leaves are the rows of the leaves of `tree`."""
    leaves, structure = jax.tree.flatten(tree)
    return [jax.tree.unflatten(structure, row) for row in zip(*leaves, strict=True)]
