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
    mean = _mean(x)
    # Accelerators fuse the second form into one kernel with the layer before it.
    variance = jnp.maximum(_mean(x * x) - mean**2, 0) if _on_cpu() else _mean((x - mean) ** 2)
    factor = jax.lax.rsqrt(variance + _EPSILON)
    return (x - mean) * factor * scale + bias, (x, mean, factor, scale)


def _backward(saved: Any, gradient: Array) -> tuple[Array, Array, Array]:
    """With h = (x - mean x) factor: ∂x = factor (g scale - mean(g scale) - h mean(g scale h))."""
    x, mean, factor, scale = saved
    normal = (x - mean) * factor
    product = gradient * normal
    along = gradient * scale - _mean(gradient, scale) - normal * _mean(product, scale)
    rows = tuple(range(x.ndim - 1))
    if _on_cpu():
        return factor * along, product.sum(rows), gradient.sum(rows)
    by_scale, by_bias = jnp.split(jnp.concatenate([product, gradient], axis=-1).sum(rows), 2)  # one kernel
    return factor * along, by_scale, by_bias


normalize.defvjp(_forward, _backward)


def _mean(x: Array, weights: Array | float = 1.0) -> Array:
    """Return the mean of w_i x_i over the last axis, which stays, for weights (d,) or one for all."""
    # For a CPU XLA writes sums over the last axis as windows of 32, far slower than a product with a vector.
    if _on_cpu():
        return (x @ jnp.broadcast_to(weights / x.shape[-1], x.shape[-1:]).astype(x.dtype))[..., None]
    return jnp.mean(x * weights, axis=-1, keepdims=True)


def _on_cpu() -> bool:
    return platform() == "cpu"
