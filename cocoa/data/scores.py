"""Returns as normalized scores."""

from __future__ import annotations

from cocoa.data.reference import REFERENCE_RETURNS, family_of
from cocoa.data.sources.lookup import registered_source


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
