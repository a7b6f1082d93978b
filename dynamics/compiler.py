"""How XLA compiles what computes in bulk."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax

CPU_OPTIONS: Mapping[str, Any] = {
    "xla_cpu_experimental_ynn_fusion_type": "",
    "xla_cpu_prefer_vector_width": "512",
}
"""For CPUs. Without the fusions of the library YNNPACK an update with LayerNorm takes about a sixth less
time. Vectors of 512 bits, where there are any, make models a twentieth faster, and updates a hundredth."""


def compiler_options(options: Mapping[str, Any] = CPU_OPTIONS) -> dict[str, Any]:
    """Return those of the `options`, which are for CPUs, that the present backend knows: none on others."""
    if jax.default_backend() != "cpu":
        return {}
    return {name: value for name, value in options.items() if _known(name, value)}


@functools.cache
def _known(name: str, value: Any) -> bool:
    try:
        jax.jit(lambda x: x, compiler_options={name: value})(0.0)
    except Exception:  # XLA's options come and go with its versions, and so do the errors for unknown ones.
        return False
    return True


@functools.cache
def compiled(function: Callable[..., Any], **kwargs: Any) -> Any:
    """Return jax.jit(function, **kwargs) with the backend's options; the same for equal arguments.

    It is no decorator, since the options depend on the backend, which importing a module must not start.
    """
    return jax.jit(function, compiler_options=compiler_options(), **kwargs)
