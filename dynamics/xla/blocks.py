"""Work on many rows block by block: on a CPU, what is in flight should fit into the cache."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

Array = jax.Array


def count_blocks(rows: int, most: int) -> int:
    """Return how many equal blocks of at most `most` rows there are; 1 if that cannot be, within reason."""
    fewest = -(-rows // most)
    return next((n for n in range(fewest, 8 * fewest + 1) if rows % n == 0), 1)


def mean_over_blocks(function: Callable[[Any, Any], Array], params: Any, rows: Any, blocks: int) -> Array:
    """Return the mean of the scalar `function(params, block)` over equal blocks of `rows`, leaves (B, ...).

    The gradient by `params` is taken of each block beside its value, so that nothing of a block is kept for
    later. There is none by `rows`, nor by anything that `function` encloses.
    """
    rows = jax.lax.stop_gradient(rows)
    if blocks == 1:
        return function(params, rows)
    split = jax.tree.map(lambda x: x.reshape(blocks, -1, *x.shape[1:]), rows)

    @jax.custom_vjp
    def mean(params: Any, split: Any) -> Array:
        return jax.lax.map(lambda block: function(params, block), split).mean()

    def forward(params: Any, split: Any) -> tuple[Array, Any]:
        def add(total: Any, block: Any) -> tuple[Any, None]:
            return jax.tree.map(jnp.add, total, jax.value_and_grad(function)(params, block)), None

        total, _ = jax.lax.scan(add, (jnp.float32(0), jax.tree.map(jnp.zeros_like, params)), split)
        return jax.tree.map(lambda x: x / blocks, total)

    def backward(gradient: Any, cotangent: Array) -> tuple[Any, None]:
        return jax.tree.map(lambda g: cotangent * g, gradient), None

    mean.defvjp(forward, backward)
    return mean(params, split)
