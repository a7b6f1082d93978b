"""Layer normalization whose sums over features suit the backend."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from cocoa.algos.base import Array
from cocoa.dynamics.xla.platform import platform

_EPSILON = 1e-6


class LayerNorm(nn.Module):
    """y = scale (x - mean x) / sqrt(var x + 1e-6) + bias over the last axis (Ba et al. 2016).

    What Flax's module computes, with parameters of the same names.
    """

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Map (..., d) to (..., d)."""
        shape = x.shape[-1:]
        scale = self.param("scale", nn.initializers.ones, shape)
        return normalize(x, scale, self.param("bias", nn.initializers.zeros, shape))


@jax.custom_vjp
def normalize(x: Array, scale: Array, bias: Array) -> Array:
    """Return scale (x - mean x) / sqrt(var x + ε) + bias for x (..., d), scale and bias (d,)."""
    return _forward(x, scale, bias)[0]


def _forward(x: Array, scale: Array, bias: Array) -> tuple[Array, Any]:
    weights = jnp.full(x.shape[-1:], 1 / x.shape[-1], x.dtype)
    mean = _sum(x, weights)
    variance = jnp.maximum(_sum(x * x, weights) - mean**2, 0)
    factor = jax.lax.rsqrt(variance + _EPSILON)
    return (x - mean) * factor * scale + bias, (x, mean, factor, scale)


def _backward(saved: Any, gradient: Array) -> tuple[Array, Array, Array]:
    """With h = (x - mean x) factor: ∂x = factor (g scale - mean(g scale) - h mean(g scale h))."""
    x, mean, factor, scale = saved
    normal = (x - mean) * factor
    product = gradient * normal
    weights, rows = scale / x.shape[-1], tuple(range(x.ndim - 1))
    along = gradient * scale - _sum(gradient, weights) - normal * _sum(product, weights)
    return factor * along, product.sum(rows), gradient.sum(rows)


normalize.defvjp(_forward, _backward)


def _sum(x: Array, weights: Array) -> Array:
    """Return Σ_i w_i x_i over the last axis, which stays, for weights (d,)."""
    # For a CPU XLA writes sums over the last axis as windows of 32, far slower than a product with a vector.
    if platform() == "cpu":
        return (x @ weights)[..., None]
    return jnp.sum(x * weights, axis=-1, keepdims=True)
