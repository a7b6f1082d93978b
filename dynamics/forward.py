"""The forward model p(s', r | s, a)."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from flax import struct
from numpy.typing import ArrayLike

from cocoa.dynamics.ensemble import Array, Ensemble


def forward_data(
    observations: ArrayLike, actions: ArrayLike, rewards: ArrayLike, next_observations: ArrayLike
) -> tuple[np.ndarray, np.ndarray]:
    """Return inputs (N, O + A) and targets (N, O + 1): the change of the state, then the reward."""
    observations, next_observations = np.asarray(observations), np.asarray(next_observations)
    inputs = np.concatenate([observations, np.asarray(actions)], axis=1)
    return inputs, np.column_stack([next_observations - observations, np.asarray(rewards)])


@struct.dataclass
class ForwardModel:
    """Predicts next states and rewards. States (..., O), actions (..., A) in [-1, 1], rewards (...)."""

    ensemble: Ensemble

    def mean_step(self, observation: Array, action: Array) -> tuple[Array, Array]:
        """Return the mean over elites of the expected next state and reward."""
        change = self.ensemble.mean(jnp.concatenate([observation, action], axis=-1))
        return observation + change[..., :-1], change[..., -1]

    def means(self, observation: Array, action: Array) -> Array:
        """Return the means of `distribution` alone (elites, ..., O + 1)."""
        means = self.ensemble.means(jnp.concatenate([observation, action], axis=-1))
        return means.at[..., :-1].add(observation)

    def distribution(self, observation: Array, action: Array) -> tuple[Array, Array]:
        """Return means and deviations (elites, ..., O + 1) of the next state, and of the reward last."""
        mean, std = self.ensemble.distribution(jnp.concatenate([observation, action], axis=-1))
        return mean.at[..., :-1].add(observation), std

    def sample(self, observation: Array, action: Array, key: Array) -> tuple[Array, Array]:
        """Return next states (N, O) and rewards (N,), drawn from elites that are chosen at random."""
        drawn = self.ensemble.sample(jnp.concatenate([observation, action], axis=-1), key)
        return observation + drawn[:, :-1], drawn[:, -1]
