"""From columns with one row per step to transitions and episodes."""

from __future__ import annotations

import warnings

import numpy as np

from cocoa.errors import DataError


def transitions_of(
    columns: dict[str, np.ndarray], source: str, time_limit: int | None
) -> dict[str, np.ndarray]:
    """Return the fields of a Dataset that are arrays, of checked columns; the rules are those of `load`.

    Raises DataError if no transition has a next observation.
    """
    observations, stored_next = columns["observations"], columns.get("next_observations")
    terminals = columns["terminals"].astype(bool)
    breaks = _breaks(observations, stored_next)
    lost = int((breaks & ~terminals)[:-1].sum())
    if stored_next is not None and 2 * lost > len(breaks):
        warnings.warn(
            f"{source}: the next observation of {lost:,} of {len(breaks):,} transitions is not the "
            "observation of the next row. If the rows were shuffled, returns and scores of episodes mean "
            "nothing, nor does what is made of them.",
            stacklevel=4,
        )
    if len(terminals) > 1 and terminals.all():
        warnings.warn(
            f"{source}: `terminals` is set in every row, so that no value of a next state counts. If it is a "
            "mask that tells where episodes go on, store its opposite.",
            stacklevel=4,
        )
    timeouts = _timeouts(columns, terminals, breaks, time_limit)
    ends = terminals | timeouts | breaks
    episodes = (np.cumsum(ends) - ends).astype(np.int32)
    _check_terminals(np.bincount(episodes)[terminals[ends]], source, time_limit)
    per_episode = {
        "complete": (terminals | timeouts)[ends],
        "episode_returns": np.bincount(episodes, weights=columns["rewards"]),
    }
    per_row = {
        "observations": observations,
        "actions": columns["actions"],
        "rewards": columns["rewards"],
        "terminals": terminals,
        "episodes": episodes,
    }
    if stored_next is not None:
        known = np.ones(len(terminals), bool)
        return per_episode | per_row | {"next_observations": stored_next, "next_observed": known}
    kept = np.flatnonzero(terminals | ~ends)
    if len(kept) == 0:
        raise DataError(
            f"{source}: no transition has a next observation, as every episode is a single step without a "
            "terminal flag. Record longer episodes, or store `next_observations`."
        )
    per_row = {key: column[kept] for key, column in per_row.items()}
    following = observations[np.where(terminals[kept], kept, kept + 1)]
    return per_episode | per_row | {"next_observations": following, "next_observed": ~per_row["terminals"]}


def _check_terminals(lengths: np.ndarray, source: str, time_limit: int | None) -> None:
    """Warn if many of the episodes that a terminal ends, of these lengths, are as long as the time limit."""
    cut = 0 if time_limit is None else int((lengths == time_limit).sum())
    if cut > 1 and 10 * cut >= len(lengths):
        warnings.warn(
            f"{source}: {cut:,} of {len(lengths):,} terminals are step {time_limit} of an episode, where its "
            "environment's time limit cuts it. If that is what they are, store them as timeouts and not as "
            "terminals: the value of a terminal's next state is taken for zero.",
            stacklevel=5,
        )


def _breaks(observations: np.ndarray, next_observations: np.ndarray | None) -> np.ndarray:
    """Return (N,) bool: whether the data shows that the next row does not follow on this one."""
    breaks = np.zeros(len(observations), bool)
    breaks[-1] = True
    if next_observations is not None:
        breaks[:-1] = ~follow(next_observations, observations)
    return breaks


def follow(next_observations: np.ndarray, observations: np.ndarray) -> np.ndarray:
    """Return (N - 1,) bool: whether a next observation is that of the next row, but for rounding."""
    following = (next_observations[:-1] == observations[1:]).all(axis=1)
    unequal = np.flatnonzero(~following)
    pairs = next_observations[unequal], observations[unequal + 1]
    following[unequal] = np.isclose(*pairs, rtol=1e-6, atol=1e-6).all(axis=1)
    return following


def _timeouts(
    columns: dict[str, np.ndarray], terminals: np.ndarray, breaks: np.ndarray, time_limit: int | None
) -> np.ndarray:
    """Return (N,) bool: the steps at which a time limit cuts an episode, as stored or as far as it shows."""
    if "timeouts" in columns:
        return columns["timeouts"].astype(bool)
    if "next_observations" in columns:
        return np.append(breaks[:-1], False)
    if time_limit is None:
        return np.zeros(len(terminals), bool)
    row = np.arange(len(terminals))
    starts = np.where(np.append(True, terminals[:-1]), row, 0)
    return (row - np.maximum.accumulate(starts) + 1) % time_limit == 0
