"""Compiled programs: kept on disk, so that a second run of the same kind starts without compiling; those that
are called for single steps; and the precision of all.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import platform
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import jax

_MAX_BYTES = 2 * 1024**3
_MIN_SECONDS = 0.01  # of compilation; a start compiles dozens of programs that take little more


Function = TypeVar("Function", bound=Callable[..., Any])


def keep_compilations(folder: Path) -> None:
    """Let JAX keep compiled programs below `folder`, the least recently used ones leaving beyond 2 GiB.

    Does nothing where the user has set JAX's own cache ($JAX_COMPILATION_CACHE_DIR), or where this user may
    not write: then everything is compiled. Machines that share a home folder keep theirs apart, since a
    program for one processor may not run on another. Programs that another user has put there are not run.
    """
    if jax.config.jax_compilation_cache_dir is not None:  # type: ignore[attr-defined]
        return
    folder = folder / _machine()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            foreign = hasattr(os, "getuid") and folder.stat().st_uid != os.getuid()
    except OSError:
        return
    if foreign:
        return
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_compilation_cache_max_size", _MAX_BYTES)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", _MIN_SECONDS)
    # On a disk that fills up, one for each program. The only loss is time.
    warnings.filterwarnings("ignore", "Error (reading|writing) persistent compilation cache entry")


_STANDARD = {
    "enable_x64": False,
    "numpy_dtype_promotion": "standard",
    "numpy_rank_promotion": "allow",
    "default_prng_impl": "threefry2x32",
    "threefry_partitionable": True,
}
"""JAX's own defaults, on which results depend, or whether anything is computed at all."""


@contextlib.contextmanager
def numerics(matmul_precision: str) -> Iterator[None]:
    """Set the precision of matrix products, and JAX's defaults of what else matters, in all threads.

    JAX's own contexts do so in one thread. What the user has set, such as double precision
    ($JAX_ENABLE_X64), is set again at the end.
    """
    wanted = {"default_matmul_precision": matmul_precision, **_STANDARD}
    before = {f"jax_{name}": getattr(jax.config, f"jax_{name}") for name in wanted}
    for name, value in wanted.items():
        jax.config.update(f"jax_{name}", value)
    try:
        yield
    finally:
        for name, value in before.items():
            jax.config.update(name, value)


def standard_numerics(function: Function) -> Function:
    """Let a function compute in single precision, and as by JAX's defaults, whatever the user has set."""

    @functools.wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        with contextlib.ExitStack() as stack:
            for name, value in _STANDARD.items():
                stack.enter_context(getattr(jax, name)(value))
            return function(*args, **kwargs)

    return wrapped  # type: ignore[return-value]


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
        """Return `function` of the tree that has these leaves, in single precision."""
        with jax.enable_x64(False), jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
            return self._call(leaves, x)
