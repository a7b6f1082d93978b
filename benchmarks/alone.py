"""Parts of an update measured by themselves: its matrix products, and what passes over its parameters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from benchmarks.flops import Product, Products
from benchmarks.setting import ACTION, make_data, observe
from cocoa.algos.base import Algorithm
from cocoa.algos.networks import Model, polyak
from cocoa.anchors.encoder import build_networks
from cocoa.dynamics.xla.compiler import compiler_options

Work = Callable[[], float]

FLOPS = 2e9
"""Of one measurement of a product; small ones are done at most MOST times."""
MOST = 2000
STEPS = 100
"""Optimizer steps of a measurement."""


def product_works(products: Products) -> dict[str, Work]:
    """Return a work for each product, by its representation, that counts how often it is computed."""
    return {str(product): _repeated(product) for product in products.counts}


def seconds(products: Products, rates: dict[str, float]) -> float:
    """Return how long the products take one after the other, given the rates of `product_works`."""
    return sum(count / rates[str(product)] for product, count in products.counts.items())


def _repeated(product: Product) -> Work:
    rng = np.random.default_rng(0)
    left, right = (
        jnp.asarray(rng.standard_normal(shape), jnp.float32) for shape in (product.left, product.right)
    )
    times = max(1, min(MOST, round(FLOPS / product.flops)))
    first, second = product.axes

    def multiply(left: jax.Array, right: jax.Array) -> jax.Array:
        return jax.lax.dot_general(left, right, (((first,), (second,)), ((), ())))

    def again(_: Any, carry: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        # Without the barrier the compiler would see that all rounds compute the same.
        left, right, _ = jax.lax.optimization_barrier(carry)
        return left, right, multiply(left, right)

    options = compiler_options()
    run = jax.jit(lambda *start: jax.lax.fori_loop(0, times, again, start), compiler_options=options)
    start = left, right, multiply(left, right)

    def work() -> float:
        jax.block_until_ready(run(*start))
        return times

    work()
    return work


def optimizer_work(algorithm: Algorithm) -> Work:
    """Return a work of optimizer steps and averages over parameters of plain updates; it counts updates.

    Models take their parameters for gradients. An algorithm with `policy_delay` passes over those of its
    critics alone in the updates between.
    """
    data = make_data(observe(None)[0], 1)
    start = algorithm.init(jax.random.key(0), build_networks(algorithm, None, ACTION), data, 1_000_000)
    delay = getattr(algorithm, "policy_delay", 1)

    def step(index: jax.Array, state: Any) -> Any:
        if delay == 1:
            return _passed(state)
        return jax.lax.cond(index % delay == 0, _passed, lambda state: _passed(state, ("critics",)), state)

    options = compiler_options()
    run = jax.jit(lambda state: jax.lax.fori_loop(0, STEPS, step, state), compiler_options=options)

    def work() -> float:
        jax.block_until_ready(run(start))
        return STEPS

    work()
    return work


def _passed(state: Any, names: tuple[str, ...] = ()) -> Any:
    """Return the state after a step of each model and average; only of those in `names`, if there are any."""
    if isinstance(state, Model):
        return _stepped(state)
    for name in names or [field.name for field in fields(state)]:
        entry = getattr(state, name)
        if isinstance(entry, Model):
            entry = _stepped(entry)
        elif name.startswith("target_"):
            entry = polyak(entry, getattr(state, name.removeprefix("target_")).params, 0.005)
        state = replace(state, **{name: entry})
    return state


def _stepped(model: Model) -> Model:
    assert model.optimizer is not None
    transformation = model.optimizer.transformation
    updates, opt_state = transformation.update(model.params, model.opt_state, model.params)
    return replace(model, params=optax.apply_updates(model.params, updates), opt_state=opt_state)
