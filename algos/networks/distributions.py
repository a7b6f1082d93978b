"""Distributions over actions, as policies return them.

Parameters have shapes (..., A), A being the action's size; log-densities have the shape (...).
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import jax
import jax.numpy as jnp
from flax import struct

from cocoa.algos.base import Array


class Distribution(ABC):
    """What a policy says about actions in a state."""

    @abstractmethod
    def mode(self) -> Array:
        """Return the action that a deterministic policy takes, (..., A)."""

    @abstractmethod
    def sample(self, key: Array, count: int | None = None) -> Array:
        """Return actions (..., A); with `count`, that many draws along a leading axis."""

    def sample_and_log_prob(self, key: Array, count: int | None = None) -> tuple[Array, Array]:
        """Return the actions of `sample` and their log-densities (...)."""
        action = self.sample(key, count)
        return action, self.log_prob(action)

    @abstractmethod
    def log_prob(self, action: Array) -> Array:
        """Return the log-density (...) of actions (..., A), which may have further leading axes."""

    def act(self, key: Array | None = None) -> Array:
        """Return what the environment gets, in [-1, 1]: the mode, or with `key` a sample."""
        return jnp.clip(self.mode() if key is None else self.sample(key), -1.0, 1.0)


@struct.dataclass
class Gaussian(Distribution):
    """Independent normal distributions N(mean_j, exp(log_std_j)²)."""

    mean: Array
    """(..., A)."""
    log_std: Array
    """(..., A), or (A,) where it does not depend on the state."""

    def mode(self) -> Array:
        """Return the mean."""
        return self.mean

    def sample(self, key: Array, count: int | None = None) -> Array:
        """Return actions (..., A), which are not bounded; with `count`, that many along a leading axis."""
        shape = self.mean.shape if count is None else (count, *self.mean.shape)
        return self.mean + jnp.exp(self.log_std) * jax.random.normal(key, shape)

    def log_prob(self, action: Array) -> Array:
        """Return Σ_j log N(a_j; mean_j, exp(log_std_j)²), shape (...)."""
        z = (action - self.mean) * jnp.exp(-self.log_std)
        return -0.5 * jnp.sum(z**2 + 2 * self.log_std + jnp.log(2 * jnp.pi), axis=-1)


@struct.dataclass
class SquashedGaussian(Distribution):
    """tanh(u) with a normal u, whose log-density is by the change of variables

        log π(a) = log N(u) - Σ_j log(1 - tanh(u_j)²)

    where the last term is written as 2 (log 2 - u - softplus(-2u)), which does not overflow.
    """

    unsquashed: Gaussian
    """The distribution of u."""

    def mode(self) -> Array:
        """Return tanh of the mean of u: the median, where the density need not be highest."""
        return jnp.tanh(self.unsquashed.mean)

    def sample(self, key: Array, count: int | None = None) -> Array:
        """Return actions (..., A) in [-1, 1]; with `count`, that many along a leading axis."""
        return jnp.tanh(self.unsquashed.sample(key, count))

    def sample_and_log_prob(self, key: Array, count: int | None = None) -> tuple[Array, Array]:
        """Return the actions of `sample` and their log-densities (...), without inverting the tanh."""
        u = self.unsquashed.sample(key, count)
        return jnp.tanh(u), self._log_prob_of(u)

    def log_prob(self, action: Array) -> Array:
        """Return the log-density (...) of actions (..., A), which are moved by 1e-6 inside of [-1, 1]."""
        return self._log_prob_of(jnp.arctanh(jnp.clip(action, -1 + 1e-6, 1 - 1e-6)))

    def _log_prob_of(self, u: Array) -> Array:
        squash = jnp.sum(2 * (jnp.log(2.0) - u - jax.nn.softplus(-2 * u)), axis=-1)
        return self.unsquashed.log_prob(u) - squash
