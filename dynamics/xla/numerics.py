"""The precision of matrix products, and JAX's defaults of what else results depend on."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import jax

Function = TypeVar("Function", bound=Callable[..., Any])

HIGHEST = "highest"
"""The precision of all matrix products but those of updates: float32."""
_STANDARD = {
    "enable_x64": False,
    "numpy_dtype_promotion": "standard",
    "numpy_rank_promotion": "allow",
    "default_prng_impl": "threefry2x32",
    "threefry_partitionable": True,
}
"""JAX's own defaults, on which results depend, or whether anything is computed at all."""


@contextlib.contextmanager
def numerics() -> Iterator[None]:
    """Set the highest precision of matrix products, and JAX's defaults of what else matters, in all threads.

    JAX's own contexts do so in one thread. What the user has set, such as double precision
    ($JAX_ENABLE_X64), is set again at the end.
    """
    wanted = {"default_matmul_precision": HIGHEST, **_STANDARD}
    before = {f"jax_{name}": getattr(jax.config, f"jax_{name}") for name in wanted}
    for name, value in wanted.items():
        jax.config.update(f"jax_{name}", value)
    try:
        yield
    finally:
        for name, value in before.items():
            jax.config.update(name, value)


def exact(function: Function) -> Function:
    """Let a function's matrix products have the highest precision, whatever that of its caller's is."""

    @functools.wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        with jax.default_matmul_precision(HIGHEST):
            return function(*args, **kwargs)

    return wrapped  # type: ignore[return-value]


def standard_numerics(function: Function) -> Function:
    """Let a function compute in single precision, and as by JAX's defaults, whatever the user has set."""

    @functools.wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        with contextlib.ExitStack() as stack:
            for name, value in _STANDARD.items():
                stack.enter_context(getattr(jax, name)(value))
            return function(*args, **kwargs)

    return wrapped  # type: ignore[return-value]
