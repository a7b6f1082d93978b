"""The transductive encoder: a bilinear form in the anchor and the difference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from cocoa.algos.base import Algorithm
from cocoa.algos.networks import MLP, Networks, drawn_on_host, joined, orthogonal, together
from cocoa.algos.networks.normalization import LayerNorm
from cocoa.anchors.base import AnchorVariant
from cocoa.anchors.decomposition import Decomposition


@drawn_on_host
def small_biases(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Draw biases near zero.

    Not zero: a factor whose input is zero (differences of the variant `zero`) would be zero itself, and so
    would be ReLU's gradient behind it.
    """
    return 0.01 * rng.standard_normal(shape)


class Factor(nn.Module):
    """One factor of the bilinear form: an MLP with LayerNorm behind every layer, the output included."""

    hidden: tuple[int, ...]
    embedding: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map (..., d) to (..., embedding * hidden[-1]), the embedding being the slower index."""
        x = MLP(self.hidden, layer_norm=True, bias_init=small_biases)(x)
        return LayerNorm()(nn.Dense(self.embedding * self.hidden[-1], kernel_init=orthogonal)(x))


class TransductiveEncoder(nn.Module):
    """Encode a decomposed state as feature_i = Σ_e f(Δ[, a])_ei g(s̃[, a])_ei.

    After bilinear transduction (Netanyahu et al., ICLR 2023) as COCOA uses it (arXiv 2404.04682,
    section 4.3): if each factor has seen its own input in training, a new combination of the two lies
    within reach.
    """

    hidden: tuple[int, ...]
    embedding: int

    @nn.compact
    def __call__(self, observation: Decomposition, action: jax.Array | None = None) -> jax.Array:
        """Map leaves (..., O), and an action (..., A), to features (..., hidden[-1])."""
        anchor, delta = observation.anchor, observation.delta
        if action is not None:
            anchor = jnp.concatenate([anchor, action], axis=-1)
            delta = jnp.concatenate([delta, action], axis=-1)
        settings = self.hidden, self.embedding
        if self.is_initializing() or not together() or delta.shape != anchor.shape:
            f, g = Factor(*settings, name="difference")(delta), Factor(*settings, name="anchor")(anchor)
            product = f * g
        else:
            product = _product(self._both(anchor, delta))
        # Slices added up, not a reduction: compilers turn the latter into a slow kernel on CPUs.
        return sum(jnp.split(product, self.embedding, axis=-1))  # type: ignore[return-value]

    def _both(self, anchor: jax.Array, delta: jax.Array) -> jax.Array:
        """Return g and f of their inputs (..., d), evaluated together, (2, ..., embedding * hidden[-1])."""
        params = joined([self.variables["params"][name] for name in ("anchor", "difference")])
        factor = Factor(self.hidden, self.embedding, parent=None)
        both: Any = jax.vmap(lambda params, x: factor.apply({"params": params}, x))
        return both(params, jnp.stack([anchor, delta]))


@jax.custom_vjp
def _product(both: jax.Array) -> jax.Array:
    """Return both[0] both[1], of which one kernel computes the gradient, (2, ...), on an accelerator."""
    return both[0] * both[1]


_product.defvjp(lambda both: (_product(both), both), lambda both, gradient: (both[::-1] * gradient,))


@dataclass(frozen=True)
class Transduction:
    """Settings of a `TransductiveEncoder` as a value; a call makes a fresh one."""

    hidden: tuple[int, ...]
    embedding: int

    def __call__(self) -> TransductiveEncoder:
        """Return a module."""
        return TransductiveEncoder(self.hidden, self.embedding)


def build_networks(algorithm: Algorithm, cocoa: AnchorVariant | None, action_dim: int) -> Networks:
    """Return the networks of `algorithm`, plain or behind a transductive encoder."""
    if cocoa is None:
        return Networks(action_dim, algorithm.hidden, activation=algorithm.activation)
    encoder = Transduction(cocoa.encoder_hidden, cocoa.embedding)
    return Networks(action_dim, cocoa.hidden, encoder, algorithm.activation)
