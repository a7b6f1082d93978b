"""Parameters as one vector for each network, which few kernels move."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from cocoa.algos.networks.batching import together


def packed(tree: Any) -> Any:
    """Return a pytree with one vector in place of each dictionary of float32 arrays, such as parameters.

    Only where modules are evaluated `together`; elsewhere it is the tree itself. Adam and averages of vectors
    are one kernel each. XLA leaves out what `packed` and `unpacked` do if one follows the other, so that a
    loop should keep its state packed.
    """
    return jax.tree.map(lambda part: ravel_pytree(part)[0] if _joined(part) else part, tree, is_leaf=_joined)


def unpacked(tree: Any, like: Any) -> Any:
    """Return a `packed` pytree as it was before; `like` has the structure and the shapes of that."""

    def unpack(part: Any, leaf: Any) -> Any:
        return ravel_pytree(part)[1](leaf) if _joined(part) else leaf

    return jax.tree.map(unpack, like, tree, is_leaf=_joined)


def scan(step: Callable[[Any, Any], tuple[Any, Any]], state: Any, xs: Any) -> tuple[Any, Any]:
    """Return what `jax.lax.scan(step, state, xs)` does, with the state packed where that is faster.

    `step(state, x) -> (state, y)` is called for each x, along the leading axis of the leaves of `xs`. The
    result is the last state, and the y's with a leading axis. On accelerators the parameters of a network
    are one vector from step to step, so that steps have fewer kernels.
    """

    def body(vectors: Any, x: Any) -> tuple[Any, Any]:
        moved, y = step(unpacked(vectors, state), x)
        return packed(moved), y

    vectors, ys = jax.lax.scan(body, packed(state), xs)
    return unpacked(vectors, state), ys


def _joined(part: Any) -> bool:
    floats = isinstance(part, dict) and all(
        getattr(x, "dtype", None) == jnp.float32 for x in jax.tree.leaves(part)
    )
    return floats and together()
