"""Flows from noise to actions: velocities, flow matching, Euler's method, and policies of one step.

A flow leads normal noise x_0 along dx/dt = v(s, x, t) to an action x_1. With the encoder that concatenates,
the networks are MLPs on [s, x, t] and [s, z], as in FQL's code; no output is bounded.
"""

from __future__ import annotations

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from cocoa.algos.base import Array, Observation
from cocoa.algos.networks.heads import MLP, Encoder
from cocoa.algos.networks.initializers import orthogonal

Velocity = Callable[[Array, Array], Array]
"""From x (..., A) and times that broadcast to (...) to velocities (..., A)."""


class _NoiseHead(nn.Module):
    """A vector with the size of actions, of an observation and further inputs behind its encoder."""

    encoder: Encoder
    hidden: tuple[int, ...]
    action_dim: int
    activation: str = "relu"

    def noise(self, key: Array | None, observation: Observation, count: int | None = None) -> Array:
        """Return normal noise (..., A) for observations (...); `count` adds a leading axis of this size.

        Raises ValueError without a key: see `Algorithm.sampled`.
        """
        if key is None:
            raise ValueError("the policy draws its actions: act(state, observation, key) needs the key")
        rows = jax.tree.leaves(observation)[0].shape[:-1]
        return jax.random.normal(key, (*([] if count is None else [count]), *rows, self.action_dim))

    def _vector(self, *parts: Array) -> Array:
        """Map features and inputs, broadcast over their leading axes, to (..., A)."""
        shape = jnp.broadcast_shapes(*(part.shape[:-1] for part in parts))
        joined = [jnp.broadcast_to(part, (*shape, part.shape[-1])) for part in parts]
        features = MLP(self.hidden, activation=self.activation)(jnp.concatenate(joined, axis=-1))
        return nn.Dense(self.action_dim, kernel_init=orthogonal)(features)


class NoisePolicy(_NoiseHead):
    """Action μ(s, z) of an observation and noise."""

    @nn.compact
    def __call__(self, observation: Observation, noise: Array) -> Array:
        """Return actions (..., A) of noise (..., A), which may have leading axes that observations lack."""
        return self._vector(self.encoder()(observation), noise)


class VelocityField(_NoiseHead):
    """Velocity v(s, x, t) of a flow: x is noise at t = 0 and an action at t = 1."""

    @nn.compact
    def __call__(self, observation: Observation, x: Array, time: Array) -> Array:
        """Return velocities (..., A) in x (..., A) at times that broadcast to (...).

        x may have leading axes that observations lack: each of these is encoded once.
        """
        return self._vector(self.encoder()(observation), x, time[..., None])


def flow_matching(velocity: Velocity, action: Array, key: Array) -> Array:
    """Return the squared errors (...) of a velocity on straight ways from noise to actions (..., A):

        |velocity(x_t, t) - (a - x_0)|² / A,   x_t = (1 - t) x_0 + t a,   x_0 ~ N(0, 1),   t ~ U[0, 1]

    The velocity with the least mean error leads noise to the distribution of the actions (Lipman et al. 2023;
    arXiv 2210.02747).
    """
    noise_key, time_key = jax.random.split(key)
    noise = jax.random.normal(noise_key, action.shape)
    time = jax.random.uniform(time_key, action.shape[:-1])
    x = noise + time[..., None] * (action - noise)
    return jnp.mean((velocity(x, time) - (action - noise)) ** 2, axis=-1)


def euler(velocity: Velocity, noise: Array, steps: int) -> Array:
    """Return where dx/dt = velocity(x, t) leads noise (..., A) from t = 0 to t = 1, by Euler's method:

    x_0 = noise,   x_(i+1) = x_i + velocity(x_i, i / steps) / steps
    """
    return jax.lax.fori_loop(0, steps, lambda i, x: x + velocity(x, i / steps) / steps, noise)
