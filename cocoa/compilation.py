"""Compiled programs: kept on disk, so that a second run of the same kind starts without compiling; and those
that are called for single steps.
"""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax

_MAX_BYTES = 2 * 1024**3
_MIN_SECONDS = 0.01  # of compilation; a start compiles dozens of programs that take little more


def keep_compilations(folder: Path) -> None:
    """Let JAX keep compiled programs below `folder`, the least recently used ones leaving beyond 2 GiB.

    Does nothing where the user has set JAX's own cache ($JAX_COMPILATION_CACHE_DIR). Machines that share a
    home folder keep theirs apart, since a program for one processor may not run on another.
    """
    if jax.config.jax_compilation_cache_dir is not None:  # type: ignore[attr-defined]
        return
    jax.config.update("jax_compilation_cache_dir", str(folder / _machine()))
    jax.config.update("jax_compilation_cache_max_size", _MAX_BYTES)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", _MIN_SECONDS)


def _machine() -> str:
    """Return a name for the kind of processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        kind = [next(x for x in lines if x.startswith(name)) for name in ("model name", "flags")]
    except (OSError, StopIteration):
        kind = [platform.machine(), platform.processor()]
    return hashlib.sha256("\n".join(kind).encode()).hexdigest()[:12]


class Lean:
    """`function(tree, x)`, compiled, and called with those leaves of the tree alone that it reads.

    Most of a short call is the time to hand over leaves, whether they are read or not, and a policy reads a
    tenth of its algorithm's state. What is read must not depend on the shape of `x`; of leaves that are not
    read, the function may use shape and type.
    """

    def __init__(self, function: Callable[[Any, Any], Any], tree: Any, x: Any):
        """`tree` and `x` are examples: arrays or jax.ShapeDtypeStruct."""
        leaves, structure = jax.tree.flatten(tree)
        shapes = [jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for leaf in leaves]

        def of_leaves(leaves: list[Any], x: Any) -> Any:
            return function(jax.tree.unflatten(structure, leaves), x)

        traced = jax.make_jaxpr(of_leaves)(leaves, x).jaxpr
        read = {id(var) for used in (traced.outvars, *(eqn.invars for eqn in traced.eqns)) for var in used}
        self._read = [index for index, var in enumerate(traced.invars[: len(leaves)]) if id(var) in read]

        def of_read(some: list[Any], x: Any) -> Any:
            given = dict(zip(self._read, some, strict=True))
            return of_leaves([given.get(index, shape) for index, shape in enumerate(shapes)], x)

        self._call = jax.jit(of_read)

    def leaves(self, tree: Any) -> list[Any]:
        """Return the leaves to call this with."""
        leaves = jax.tree.leaves(tree)
        return [leaves[index] for index in self._read]

    def __call__(self, leaves: list[Any], x: Any) -> Any:
        """Return `function` of the tree that has these leaves."""
        return self._call(leaves, x)
