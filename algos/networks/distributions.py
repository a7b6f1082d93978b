"""Distributions over actions."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from cocoa.algos.base import Array


def squashed_sample(
    distribution: tuple[Array, Array], key: Array, count: int | None = None
) -> tuple[Array, Array]:
    """Return actions tanh(u), u ~ N(mean, exp(log_std)²), (..., A) and their log-densities (...).

    `distribution` holds mean and log_std, (..., A) both, as `SquashedGaussianPolicy` returns them.
    With `count` there is a leading axis of so many draws. By the change of variables

        log π(a) = log N(u) - Σ_j log(1 - tanh(u_j)²)

    where the last term is written as 2 (log 2 - u - softplus(-2u)), which does not overflow.
    """
    mean, log_std = distribution
    shape = mean.shape if count is None else (count, *mean.shape)
    u = mean + jnp.exp(log_std) * jax.random.normal(key, shape)
    squash = jnp.sum(2 * (jnp.log(2.0) - u - jax.nn.softplus(-2 * u)), axis=-1)
    return jnp.tanh(u), gaussian_log_prob(mean, log_std, u) - squash


def gaussian_log_prob(mean: Array, log_std: Array, action: Array) -> Array:
    """Return Σ_j log N(a_j; mean_j, exp(log_std_j)²), shape (...)."""
    z = (action - mean) * jnp.exp(-log_std)
    return -0.5 * jnp.sum(z**2 + 2 * log_std + jnp.log(2 * jnp.pi), axis=-1)
