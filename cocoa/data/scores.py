"""Scores in percent of what policies reach in their environments."""

from __future__ import annotations

from typing import Any

import numpy as np

from cocoa.data.reference import REFERENCE_RETURNS, references_of
from cocoa.data.sources.lookup import FILES, registered_source
from cocoa.environments.ogbench import PREFIX as OGBENCH

References = tuple[float, float]
"""The returns that score 0 % and 100 %."""


def normalized_score(
    env: str | None, episode_return: float, references: References | None = None
) -> float | None:
    """Return D4RL's normalized score in percent: 100 (return - random) / (expert - random).

    `env` is a Gymnasium id (any version: `Hopper-v4`, `Hopper-v5`) or the name of a dataset whose source has
    reference returns (`antmaze-umaze-v2`, `hopper-demo`). A file that has reference returns of its own, as
    those of `cocoa collect` have, is scored by these: `env` is then its path, or `references` are
    `Dataset.reference_returns`. None where no reference is known.
    """
    returns = reference_returns(env, references)
    if returns is None:
        return None
    return percent(episode_return, returns)


def percent(returns: Any, references: References) -> Any:
    """Return a return, or an array of them, in percent of the way from the first reference to the second."""
    low, high = references
    return 100.0 * (returns - low) / (high - low)


def scores(
    env: str, returns: np.ndarray, success_rates: np.ndarray, references: References | None = None
) -> np.ndarray | None:
    """Return the scores (seeds,) in percent of policies with these mean returns and rates of success.

    They are normalized scores, as of `normalized_score`, or in OGBench's environments, as in its papers, the
    rates of success; None where neither is known.
    """
    if env.startswith(OGBENCH):
        return None if np.isnan(success_rates).any() else success_rates
    normalized = [normalized_score(env, value, references) for value in returns]
    return None if None in normalized else np.asarray(normalized, np.float64)


def whose_references(env: str | None, references: References | None = None) -> str | None:
    """Return whose references score an environment; the arguments are as in `normalized_score`.

    None: there is no score.
    """
    if env and env.startswith(OGBENCH):
        return "OGBench's rates of success"
    returns = reference_returns(env, references)
    if returns is None:
        return None
    return "D4RL's references" if returns in REFERENCE_RETURNS.values() else "the dataset's references"


def reference_returns(env: str | None, references: References | None = None) -> References | None:
    """Return the returns that score 0 % and 100 %, if they are known: `references`, or those of `env`."""
    if references or env is None:
        return references
    if source := registered_source(env):
        return source.reference_returns(env)
    return FILES.reference_returns(env) or references_of(env)
