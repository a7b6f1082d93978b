"""The reverse model p(s | s', a), and rollouts that leave the data backwards in time."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from numpy.typing import ArrayLike

from cocoa.dynamics.ensemble import Array, Ensemble
from cocoa.dynamics.rows import finite_rows
from cocoa.dynamics.xla.compiler import compiled

_STARTS_AT_ONCE = 16384  # keeps the activations of all rows in flight within tens of MB


def reverse_data(
    observations: ArrayLike, actions: ArrayLike, next_observations: ArrayLike
) -> tuple[np.ndarray, np.ndarray]:
    """Return inputs (N, O + A), next state and action, and targets (N, O), the change back to the state."""
    observations, next_observations = np.asarray(observations), np.asarray(next_observations)
    inputs = np.concatenate([next_observations, np.asarray(actions)], axis=1)
    return inputs, observations - next_observations


@struct.dataclass
class ReverseModel:
    """Predicts where a transition came from. States (..., O), actions (..., A) in [-1, 1]."""

    ensemble: Ensemble

    def mean_step(self, next_observation: Array, action: Array) -> Array:
        """Return the mean over elites of the expected state before."""
        inputs = jnp.concatenate([next_observation, action], axis=-1)
        return next_observation + self.ensemble.mean(inputs)

    def step(self, next_observation: Array, action: Array, key: Array) -> Array:
        """Return a sampled state before, of a random elite for each row."""
        inputs = jnp.concatenate([next_observation, action], axis=-1)
        change = self.ensemble.sample(inputs.reshape(-1, inputs.shape[-1]), key)
        return next_observation + change.reshape(next_observation.shape)


def reverse_rollouts(
    model: ReverseModel,
    starts: ArrayLike,
    direction_actions: ArrayLike,
    key: Array,
    length: int,
    scale: float,
    noise: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Walk back from each of `starts` (N, O) for `length` steps; return states (N·H, O), actions (N·H, A).

    A rollout has one direction d, a random row of `direction_actions` (M, A). Each of its steps takes
    a = clip(scale · d + N(0, noise²), -1, 1), draws s ~ p(s | s', a), records (s, a) and goes on from s
    (arXiv 2404.04682, section 4.2).

    Raises ValueError for shapes that do not fit the model, no rows, or numbers that are not finite.
    """
    states_dim = len(model.ensemble.target_mean)
    actions_dim = len(model.ensemble.input_mean) - states_dim
    starts = finite_rows(starts, "starts", states_dim)
    directions = jnp.asarray(finite_rows(direction_actions, "direction_actions", actions_dim))
    if min(len(starts), len(directions)) == 0:
        raise ValueError("starts and direction_actions must have at least one row")
    size, walk = min(_STARTS_AT_ONCE, len(starts)), compiled(_walk, static_argnums=4)
    states = np.empty((len(starts) * length, states_dim), np.float32)
    actions = np.empty((len(starts) * length, actions_dim), np.float32)
    for chunk, first in enumerate(range(0, len(starts), size)):
        rows = starts[first : first + size]
        padded = np.concatenate([rows, np.repeat(rows[-1:], size - len(rows), axis=0)])
        parts = walk(model, padded, directions, jax.random.fold_in(key, chunk), length, scale, noise)
        place = slice(first * length, (first + len(rows)) * length)
        for collected, part in zip((states, actions), parts, strict=True):
            collected[place] = np.asarray(part)[:, : len(rows)].reshape(-1, part.shape[-1])
    return states, actions


def _walk(
    model: ReverseModel,
    starts: Array,
    directions: Array,
    key: Array,
    length: int,
    scale: float,
    noise: float,
) -> tuple[Array, Array]:
    """Return states (length, B, O) and actions (length, B, A) of the walks from `starts` (B, O)."""
    direction_key, steps_key = jax.random.split(key)
    rows = jax.random.randint(direction_key, (len(starts),), 0, len(directions))
    direction = scale * directions[rows]

    def step(state: Array, key: Array) -> tuple[Array, tuple[Array, Array]]:
        noise_key, model_key = jax.random.split(key)
        action = direction + noise * jax.random.normal(noise_key, direction.shape)
        action = jnp.clip(action, -1.0, 1.0)
        before = model.step(state, action, model_key)
        return before, (before, action)

    return jax.lax.scan(step, jnp.asarray(starts), jax.random.split(steps_key, length))[1]
