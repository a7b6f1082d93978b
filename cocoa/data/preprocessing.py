"""From a dataset to what algorithms train on: scaled rewards, actions in [-1, 1], scale of observations."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from flax import struct

from cocoa.algos.base import Batch
from cocoa.data.dataset import Dataset
from cocoa.data.validation import ACTION_TOLERANCE
from cocoa.dynamics.moments import moments
from cocoa.dynamics.settings import Settings
from cocoa.environments.spaces import spaces
from cocoa.errors import ConfigError, DataError

REWARD_NORMALIZATIONS = ("none", "return_range")
_ADDED_STD = 1e-3  # TD3+BC; keeps a constant observation finite


@dataclass(frozen=True)
class DataConfig(Settings):
    """How the dataset is transformed before training; evaluation reports the environment's own returns."""

    reward_normalization: str = "none"
    """none; return_range: 1000 / (highest - lowest episode return) r (IQL)."""
    reward_scale: float = 1.0
    """Factor of the rewards, after the normalization."""
    reward_shift: float = 0.0
    """Added to the rewards, after the factor: -1 for AntMaze (IQL)."""
    observation_normalization: bool = False
    """Standardise observations (TD3+BC)."""
    top_episodes: float = 1.0
    """Share of the episodes with the highest returns: 0.1 makes BC 10 % BC."""
    validation: float | None = None
    """Share of the episodes held out for losses at each evaluation. They are drawn at random, and 0 holds out
    none. None takes the dataset's own validation split, else 0.05 without an environment, else 0."""


@struct.dataclass
class Scaling:
    """Affine maps between the environment's units and the networks', for both NumPy and JAX arrays."""

    observation_mean: Any
    """(O,) float32."""
    observation_std: Any
    """(O,) float32, positive."""
    action_center: Any
    """(A,) float32, environment units."""
    action_half_range: Any
    """(A,) float32, environment units, positive."""

    def normalize(self, observation: Any) -> Any:
        """Return observations (..., O), centred and divided by their standard deviation."""
        return (observation - self.observation_mean) / self.observation_std

    def to_environment(self, action: Any) -> Any:
        """Return actions (..., A) in environment units, of actions in [-1, 1]."""
        return self.action_center + self.action_half_range * action


def normalized_batch(dataset: Dataset, config: DataConfig = DataConfig()) -> tuple[Batch, Scaling]:
    """Return all transitions as one float32 batch (N, ...) of NumPy arrays to train on, and its scales.

    Observations are standardised (with 1e-3 added to the standard deviation, TD3+BC) if the configuration
    says so: a policy trained on the batch takes `Scaling.normalize` of the environment's observations.
    Actions are mapped to [-1, 1] by `action_bounds`; `Scaling.to_environment` maps them back. Raises
    DataError if the rewards cannot be normalised, ConfigError for an unknown normalisation.
    """
    batch, scaling = unnormalized_batch(dataset, config)
    if config.observation_normalization:
        batch = replace(
            batch,
            observation=scaling.normalize(batch.observation),
            next_observation=scaling.normalize(batch.next_observation),
        )
    return batch, scaling


def unnormalized_batch(
    dataset: Dataset, config: DataConfig, training: Dataset | None = None
) -> tuple[Batch, Scaling]:
    """Return the same as `normalized_batch`, with observations in environment units and not copied.

    Apply `Scaling.normalize` to them where networks see them. All scales are those of `training`, where
    `dataset` is held out from that. Raises the errors of `normalized_batch`.
    """
    training = training or dataset
    scaling = _scaling(training, config)
    scale, shift = reward_map(training, config)
    actions = (dataset.actions - scaling.action_center) / scaling.action_half_range
    fields: dict[str, Any] = {
        "observation": dataset.observations,
        "action": np.clip(actions, -1.0, 1.0, out=actions),  # beyond by rounding, or held out
        "reward": dataset.rewards * np.float32(scale) + np.float32(shift),
        "terminal": dataset.terminals.astype(np.float32),
        "next_observation": dataset.next_observations,
    }
    return Batch(**fields), scaling


def _scaling(dataset: Dataset, config: DataConfig) -> Scaling:
    observation_dim = dataset.observations.shape[1]
    mean, std = np.zeros(observation_dim), np.ones(observation_dim)
    if config.observation_normalization:
        mean, std = moments(dataset.observations)
        std += _ADDED_STD
    low, high = action_bounds(dataset)
    return Scaling(
        observation_mean=mean.astype(np.float32),
        observation_std=std.astype(np.float32),
        action_center=((high + low) / 2).astype(np.float32),
        action_half_range=((high - low) / 2).astype(np.float32),
    )


def action_bounds(dataset: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Return the lowest and the highest actions (A,), which become -1 and 1.

    They are the environment's. Where it is not known, they are -1 and 1, or in a dimension in which the data
    go beyond that, plus and minus the largest magnitude there, rounded up to two digits.
    """
    if dataset.env is not None:
        bounds = spaces(dataset.env)
        return bounds.action_low, bounds.action_high
    largest = np.abs(dataset.actions).max(axis=0).astype(np.float64)
    high = np.where(largest <= 1 + ACTION_TOLERANCE, 1.0, _rounded_up(largest))
    return -high, high


def _rounded_up(numbers: np.ndarray) -> np.ndarray:
    """Return positive numbers rounded up to two digits, and no larger than a float32 can be."""
    unit = 10.0 ** (np.floor(np.log10(np.maximum(numbers, 1))) - 1)
    return np.minimum(np.ceil(numbers / unit - ACTION_TOLERANCE) * unit, np.finfo(np.float32).max)


def reward_map(dataset: Dataset, config: DataConfig) -> tuple[float, float]:
    """Return by what the rewards are multiplied, and what is then added to them."""
    return _normalizer(dataset, config.reward_normalization) * config.reward_scale, config.reward_shift


def _normalizer(dataset: Dataset, normalization: str) -> float:
    if normalization == "none":
        return 1.0
    if normalization != "return_range":
        raise ConfigError(
            f"data.reward_normalization is {normalization!r}; "
            f"it must be one of {', '.join(REWARD_NORMALIZATIONS)}."
        )
    returns = dataset.counted_returns
    spread = returns.max() - returns.min()
    if spread == 0:
        raise DataError(
            f"Dataset {dataset.name}: all {len(returns)} complete episodes return {returns[0]:g}, so rewards "
            "cannot be scaled by the range of returns. Set data.reward_normalization=none."
        )
    return float(1000.0 / spread)


def best_episodes(dataset: Dataset, share: float) -> Dataset:
    """Return the share of the episodes with the highest returns, at least one, in the same order."""
    if share == 1:
        return dataset
    count = max(1, int(share * len(dataset.episode_returns) + 1e-6))  # 0.57 x 100 is less than 57
    best = np.sort(np.argsort(-dataset.episode_returns, kind="stable")[:count])
    if not np.isin(dataset.episodes, best).any():
        raise DataError(
            f"Dataset {dataset.name}: none of the {count} best episodes has a whole transition. Set a larger "
            "data.top_episodes."
        )
    return dataset.of_episodes(best)
