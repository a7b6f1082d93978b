"""IQL and TD3+BC whose updates multiply matrices as TF32 does, emulated on any device.

TF32 rounds the operands of a product to 10 bits of mantissa, multiplies these exactly and adds in float32.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax

from cocoa.algos.base import Array, Batch, Metrics
from cocoa.algos.iql import IQL
from cocoa.algos.td3_bc import TD3BC

_CALLS = {"jit": "jaxpr", "pjit": "jaxpr", "custom_vjp_call": "call_jaxpr", "custom_jvp_call": "call_jaxpr"}


def rounded(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that rounds the operands of all products of matrices in `function` to TF32.

    Loops in `function` are left as they are; products with a vector stand for sums.
    """

    def wrapped(*arguments: Any) -> Any:
        jaxpr, shapes = jax.make_jaxpr(function, return_shape=True)(*arguments)
        results = _run(jaxpr, *jax.tree.leaves(arguments))
        return jax.tree.unflatten(jax.tree.structure(shapes), results)

    return wrapped


def _run(closed: Any, *inputs: Any) -> list[Any]:
    """Evaluate a jaxpr with rounded products."""
    values = dict(zip(closed.jaxpr.constvars, closed.consts, strict=True))
    values |= dict(zip(closed.jaxpr.invars, inputs, strict=True))

    def read(var: Any) -> Any:
        return var.val if hasattr(var, "val") else values[var]

    for equation in closed.jaxpr.eqns:
        results = _evaluate(equation, [read(var) for var in equation.invars])
        values |= dict(zip(equation.outvars, results, strict=True))
    return [read(var) for var in closed.jaxpr.outvars]


def _evaluate(equation: Any, inputs: list[Any]) -> list[Any]:
    name, settings = equation.primitive.name, equation.params
    if name in _CALLS:
        return _run(settings[_CALLS[name]], *inputs)
    if name == "cond":
        index, *operands = inputs
        return jax.lax.switch(index, [partial(_run, branch) for branch in settings["branches"]], *operands)
    if name == "dot_general" and min(x.ndim for x in inputs) > 1:
        inputs = [jax.lax.reduce_precision(x, exponent_bits=8, mantissa_bits=10) for x in inputs]
    results = equation.primitive.bind(*inputs, **equation.primitive.get_bind_params(settings))
    return results if equation.primitive.multiple_results else [results]


@dataclass(frozen=True)
class RoundedIQL(IQL):
    """IQL with TF32 in its updates."""

    def update(self, state: Any, batch: Batch, key: Array) -> tuple[Any, Metrics]:
        """Update as IQL does."""
        return rounded(super().update)(state, batch, key)


@dataclass(frozen=True)
class RoundedTD3BC(TD3BC):
    """TD3+BC with TF32 in its updates."""

    def update(self, state: Any, batch: Batch, key: Array) -> tuple[Any, Metrics]:
        """Update as TD3+BC does."""
        return rounded(super().update)(state, batch, key)
