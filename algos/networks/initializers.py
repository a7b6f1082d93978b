"""Initial weights, drawn by NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from cocoa.algos.base import Array
from cocoa.dynamics.xla import blas


def drawn_on_host(draw: Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]) -> Any:
    """Return an initializer that NumPy computes, from random numbers that depend on the key.

    XLA would compile random numbers, and what is made of them, again for each shape: seconds of every start.
    """

    def initializer(key: Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> Array:
        def compute(words: Array) -> np.ndarray:
            rows = np.asarray(words).reshape(-1, words.shape[-1])  # of a batch of keys, or of one
            draws = np.stack([draw(np.random.default_rng(row), shape) for row in rows])
            return draws.astype(dtype).reshape(*words.shape[:-1], *shape)

        words = jax.random.key_data(key)
        if not isinstance(words, Tracer):
            return jnp.asarray(compute(words))
        result = jax.ShapeDtypeStruct(shape, dtype)
        return jax.pure_callback(compute, result, words, vmap_method="expand_dims")

    return initializer


@drawn_on_host
def orthogonal(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Draw a uniformly distributed orthogonal matrix, or rows or columns of one, times √2 (Saxe et al. 2014).

    The signs of R's diagonal make Q of a Gaussian matrix uniform (Mezzadri 2007).
    """
    with blas.one_thread():
        q, r = np.linalg.qr(rng.standard_normal((max(shape), min(shape))))
    q *= 2**0.5 * np.sign(np.diag(r))
    return q if shape[0] >= shape[1] else q.T
