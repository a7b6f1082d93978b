"""Programs that are called for single steps, where most of the time is the hand-over of arguments."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import jax


class PrunedFunction:
    """`function(tree, x)`, compiled, and called with those leaves of the tree alone that it reads.

    Most of a short call is the time to hand over leaves, whether they are read or not, and a policy reads a
    tenth of its algorithm's state. What is read must not depend on the shape of `x`; of leaves that are not
    read, the function may use shape and type.
    """

    def __init__(self, function: Callable[[Any, Any], Any], tree: Any, x: Any, device: Any = None):
        """`tree` and `x` are examples: arrays or jax.ShapeDtypeStruct.

        `device` is where the tree will be, if that is not where JAX computes by default: see `platform`.
        """
        leaves, structure = jax.tree.flatten(tree)
        shapes = [jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for leaf in leaves]

        def of_leaves(leaves: list[Any], x: Any) -> Any:
            with jax.default_device(device) if device else contextlib.nullcontext():
                return function(jax.tree.unflatten(structure, leaves), x)

        traced = jax.make_jaxpr(of_leaves)(leaves, x).jaxpr
        read = {id(var) for used in (traced.outvars, *(eqn.invars for eqn in traced.eqns)) for var in used}
        self._read = [index for index, var in enumerate(traced.invars[: len(leaves)]) if id(var) in read]

        def of_read(some: list[Any], x: Any) -> Any:
            leaf_by_index = dict(zip(self._read, some, strict=True))
            return of_leaves([leaf_by_index.get(index, shape) for index, shape in enumerate(shapes)], x)

        self._call = jax.jit(of_read)

    def leaves(self, tree: Any) -> list[Any]:
        """Return the leaves to call this with."""
        leaves = jax.tree.leaves(tree)
        return [leaves[index] for index in self._read]

    def __call__(self, leaves: list[Any], x: Any) -> Any:
        """Return `function` of the tree that has these leaves, in single precision."""
        with jax.enable_x64(False), jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
            return self._call(leaves, x)
