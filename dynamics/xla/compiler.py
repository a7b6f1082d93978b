"""How XLA compiles what computes in bulk."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax

_WIDE = {"xla_cpu_prefer_vector_width": "512"}
CPU_OPTIONS: Mapping[str, Any] = {**_WIDE, "xla_cpu_experimental_ynn_fusion_type": ""}
"""For CPUs. Without the fusions of the library YNNPACK an update with LayerNorm takes about a sixth less
time. Vectors of 512 bits made models a twentieth faster on the CPU of docs/performance.md, and updates a
hundredth; they change nothing where there are none."""
ONE_CORE_OPTIONS: Mapping[str, Any] = {**_WIDE, "xla_cpu_multi_thread_eigen": False}
"""For programs that run beside each other, each on a core of a CPU. YNNPACK's fusions gain them 2 %."""


def compiler_options(options: Mapping[str, Any] = CPU_OPTIONS) -> dict[str, Any]:
    """Return those of the `options`, which are for CPUs, that the present backend knows: none on others."""
    if jax.default_backend() != "cpu":
        return {}
    return {name: value for name, value in options.items() if _known(name, value)}


@functools.cache
def _known(name: str, value: Any) -> bool:
    try:
        jax.jit(_probe, compiler_options={name: value})(0.0)
    except Exception:  # XLA's options come and go with its versions, and so do the errors for unknown ones.
        return False
    return True


def _probe(x: Any) -> Any:
    return x


@functools.cache
def compiled(function: Callable[..., Any], **kwargs: Any) -> Any:
    """Return jax.jit(function, **kwargs) with the backend's options; the same for equal arguments.

    `function` must be defined in a module, since it is never released, and must not be called within another
    program. This is no decorator: importing a module must not start the backend, on which the options depend.
    """
    return jax.jit(function, compiler_options=compiler_options(), **kwargs)
