"""Scores in percent of what policies reach in their environments."""

from __future__ import annotations

import numpy as np

from cocoa.data.reference import REFERENCE_RETURNS, family_of
from cocoa.data.sources.lookup import registered_source
from cocoa.environments.ogbench import PREFIX as OGBENCH


def normalized_score(env: str | None, episode_return: float) -> float | None:
    """Return D4RL's normalized score in percent: 100 (return - random) / (expert - random).

    `env` is a Gymnasium id (any version: `Hopper-v4`, `Hopper-v5`) or the name of a dataset whose source has
    reference returns (`antmaze-umaze-v2`, `hopper-demo`). None where no reference is known.
    """
    if env is None:
        return None
    source = registered_source(env)
    returns = source.reference_returns(env) if source else REFERENCE_RETURNS.get(family_of(env))
    if returns is None:
        return None
    low, high = returns
    return 100.0 * (episode_return - low) / (high - low)


def scores(env: str, returns: np.ndarray, success_rates: np.ndarray) -> np.ndarray | None:
    """Return the scores (seeds,) in percent of policies with these mean returns and rates of success.

    They are D4RL's normalized scores, or in OGBench's environments, as in its papers, the rates of success;
    None where neither is known.
    """
    if env.startswith(OGBENCH):
        return None if np.isnan(success_rates).any() else success_rates
    normalized = [normalized_score(env, value) for value in returns]
    return None if None in normalized else np.asarray(normalized, np.float64)
