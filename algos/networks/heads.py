"""Networks that all algorithms share: heads over a backbone over an encoder.

An *encoder* turns an observation, and for critics an action, into one feature vector. The plain one
concatenates arrays; another may be substituted without a change to any algorithm. All weights start
orthogonal, as in IQL's code; the other papers' codes have the defaults of their libraries.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import flax.linen as nn
import jax.numpy as jnp

from cocoa.algos.base import Array, Observation
from cocoa.algos.networks.distributions import Gaussian, SquashedGaussian
from cocoa.algos.networks.initializers import orthogonal
from cocoa.algos.networks.normalization import LayerNorm

LOG_STD_BOUNDS = (-5.0, 2.0)


class Encoder(Protocol):
    """Make a module that maps (observation[, action]) to features (..., width)."""

    def __call__(self) -> nn.Module:
        """Return a fresh module."""
        ...


class Concatenate(nn.Module):
    """The plain encoder: the observation array with the action, if any, appended."""

    def __call__(self, observation: Array, action: Array | None = None) -> Array:
        """Return (..., O) or (..., O + A)."""
        return observation if action is None else jnp.concatenate([observation, action], axis=-1)


class MLP(nn.Module):
    """Dense layers with ReLU, then optionally LayerNorm, after each; orthogonal weights."""

    hidden: tuple[int, ...]
    layer_norm: bool = False
    bias_init: Any = nn.initializers.zeros

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Map (..., d) to (..., hidden[-1])."""
        for width in self.hidden:
            x = nn.relu(nn.Dense(width, kernel_init=orthogonal, bias_init=self.bias_init)(x))
            if self.layer_norm:
                x = LayerNorm()(x)
        return x


class Value(nn.Module):
    """State value V(s), or action value Q(s, a) if called with an action: shape (...)."""

    encoder: Encoder
    hidden: tuple[int, ...]
    layer_norm: bool = False

    @nn.compact
    def __call__(self, observation: Observation, action: Array | None = None) -> Array:
        """Return values of shape (...)."""
        features = MLP(self.hidden, self.layer_norm)(self.encoder()(observation, action))
        return nn.Dense(1, kernel_init=orthogonal)(features)[..., 0]


class Critics(nn.Module):
    """Independent action values Q_i(s, a): shape (count, ...).

    Written out rather than batched: on a CPU separate matrix products are faster than a batched one.
    """

    encoder: Encoder
    hidden: tuple[int, ...]
    count: int = 2
    layer_norm: bool = False

    @nn.compact
    def __call__(self, observation: Observation, action: Array, first: int | None = None) -> Array:
        """Return values of shape (count, ...); with `first`, of so many of the critics alone."""
        count = self.count if first is None else first
        critics = [Value(self.encoder, self.hidden, self.layer_norm) for _ in range(count)]
        return jnp.stack([critic(observation, action) for critic in critics])


class GaussianPolicy(nn.Module):
    """Normal distribution N(tanh(m(s)), σ²) with a standard deviation σ that does not depend on s."""

    encoder: Encoder
    hidden: tuple[int, ...]
    action_dim: int

    @nn.compact
    def __call__(self, observation: Observation) -> Gaussian:
        """Return the distribution, its mean (..., A) in (-1, 1) and its log standard deviation (A,)."""
        features = MLP(self.hidden)(self.encoder()(observation))
        mean = jnp.tanh(nn.Dense(self.action_dim, kernel_init=orthogonal)(features))
        log_std = self.param("log_std", nn.initializers.zeros, (self.action_dim,))
        return Gaussian(mean, jnp.clip(log_std, *LOG_STD_BOUNDS))


class DeterministicPolicy(nn.Module):
    """Action tanh(m(s))."""

    encoder: Encoder
    hidden: tuple[int, ...]
    action_dim: int
    layer_norm: bool = False

    @nn.compact
    def __call__(self, observation: Observation) -> Array:
        """Return actions (..., A) in (-1, 1)."""
        features = MLP(self.hidden, self.layer_norm)(self.encoder()(observation))
        return jnp.tanh(nn.Dense(self.action_dim, kernel_init=orthogonal)(features))


class SquashedGaussianPolicy(nn.Module):
    """tanh of a normal distribution N(m(s), σ(s)²) (SAC)."""

    encoder: Encoder
    hidden: tuple[int, ...]
    action_dim: int

    @nn.compact
    def __call__(self, observation: Observation) -> SquashedGaussian:
        """Return the distribution, whose parameters are (..., A)."""
        features = MLP(self.hidden)(self.encoder()(observation))
        both = nn.Dense(2 * self.action_dim, kernel_init=orthogonal)(features)
        mean, log_std = jnp.split(both, 2, axis=-1)
        return SquashedGaussian(Gaussian(mean, jnp.clip(log_std, *LOG_STD_BOUNDS)))


class Scalar(nn.Module):
    """A single learned number."""

    start: float

    @nn.compact
    def __call__(self) -> Array:
        """Return it, shape ()."""
        return self.param("value", nn.initializers.constant(self.start), ())


@dataclass(frozen=True)
class Networks:
    """What the surroundings decide about networks: the encoder, the widths behind it, the action's size."""

    action_dim: int
    hidden: tuple[int, ...]
    encoder: Encoder = Concatenate

    def value(self, layer_norm: bool = False) -> Value:
        """Return a state-value network."""
        return Value(self.encoder, self.hidden, layer_norm)

    def critics(self, count: int = 2, layer_norm: bool = False) -> Critics:
        """Return `count` independent action-value networks."""
        return Critics(self.encoder, self.hidden, count, layer_norm)

    def deterministic_policy(self, layer_norm: bool = False) -> DeterministicPolicy:
        """Return a policy without noise."""
        return DeterministicPolicy(self.encoder, self.hidden, self.action_dim, layer_norm)

    def squashed_gaussian_policy(self) -> SquashedGaussianPolicy:
        """Return SAC's policy."""
        return SquashedGaussianPolicy(self.encoder, self.hidden, self.action_dim)

    def gaussian_policy(self) -> GaussianPolicy:
        """Return a policy with a state-independent standard deviation."""
        return GaussianPolicy(self.encoder, self.hidden, self.action_dim)
