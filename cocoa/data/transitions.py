"""From columns with one row per step to transitions and episodes."""

from __future__ import annotations

import numpy as np

from cocoa.data.validation import MASKS, warn, without_future
from cocoa.errors import DataError

_SLICE = 1 << 18  # rows that are compared at a time
_SEVERAL = 3  # episodes of one length that are more than chance


def transitions_of(
    columns: dict[str, np.ndarray],
    origin: str,
    time_limit: int | None,
    next_observed: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """Return the fields of a Dataset that are arrays, of checked columns; the rules are those of `load`.

    `next_observed` (N,) bool: where a stored next observation was observed. Raises DataError if no transition
    has a next observation.
    """
    observations, stored_next = columns["observations"], columns.get("next_observations")
    ending = columns["terminals"].astype(bool)
    terminals = without_future(columns)
    breaks = _breaks(observations, stored_next)
    lost = int((breaks & ~ending)[:-1].sum())
    if stored_next is not None and 2 * lost > len(breaks):
        warn(
            f"{origin}: the next observation of {lost:,} of {len(breaks):,} transitions is not the "
            "observation of the next row. If the rows were shuffled, returns and scores of episodes mean "
            "nothing, nor does what is made of them."
        )
    if len(terminals) > 1 and terminals.all():
        flag = f"`{MASKS}` is 0" if MASKS in columns else "`terminals` is set"
        warn(
            f"{origin}: {flag} in every row, so that no value of a next state counts. If it has the opposite "
            "meaning, store its opposite."
        )
    timeouts = _timeouts(columns, ending, breaks, time_limit)
    ends = ending | timeouts | breaks
    episodes = np.cumsum(ends, dtype=np.int32)
    episodes -= ends
    if MASKS not in columns:
        _check_terminals(np.bincount(episodes), terminals[ends], origin, time_limit)
        _check_both(terminals, columns.get("timeouts"), origin)
    elif stored_next is None and "timeouts" not in columns:
        _check_uncut(np.bincount(episodes), origin, time_limit)
    per_episode = {
        "complete": (ending | timeouts)[ends],
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
        known = np.ones(len(terminals), bool) if next_observed is None else next_observed
        return per_episode | per_row | {"next_observations": stored_next, "next_observed": known}
    kept = np.flatnonzero(terminals | ~ends)
    if len(kept) == 0:
        raise DataError(
            f"{origin}: no transition has a next observation, as every episode is a single step without a "
            "terminal flag. Record longer episodes, or store `next_observations`."
        )
    if 2 * len(kept) < len(ends):
        warn(
            f"{origin}: {len(ends) - len(kept):,} of {len(ends):,} rows are left out, as an episode ends "
            "there by a time limit and no next observation is stored. If `timeouts` marks the rows in which "
            "episodes go on, store its opposite."
        )
    per_row = {key: column[kept] for key, column in per_row.items()}
    following = observations[np.where(ends[kept], kept, kept + 1)]
    return per_episode | per_row | {"next_observations": following, "next_observed": ~ends[kept]}


def _check_terminals(lengths: np.ndarray, terminal: np.ndarray, origin: str, time_limit: int | None) -> None:
    """Warn if many of the episodes that a terminal ends are as long as the time limit, or as the longest one.

    lengths (E,): of all episodes; terminal (E,) bool: whether a terminal ends them.
    """
    ended, longest = lengths[terminal], int(lengths.max())
    cut = 0 if time_limit is None else int((ended == time_limit).sum())
    if cut > 1 and 10 * cut >= len(ended):
        place, limit = f"step {time_limit} of an episode", "its environment's time limit cuts it"
    else:
        cut = int((ended == longest).sum())
        if cut < _SEVERAL or longest == 1 or 10 * cut < len(ended):
            return
        place, limit = (
            f"step {longest} of an episode",
            "the longest episodes end and a time limit may cut them",
        )
    warn(
        f"{origin}: {cut:,} of {len(ended):,} terminals are {place}, where {limit}. If that is what they "
        "are, store them as timeouts and not as terminals: the value of a terminal's next state is taken for "
        "zero."
    )


def _check_uncut(lengths: np.ndarray, origin: str, time_limit: int | None) -> None:
    """Warn if episodes (E,) are longer than the environment's time limit, at which nothing was cut."""
    if time_limit is not None and lengths.max() > time_limit:
        warn(
            f"{origin}: the longest episode has {lengths.max():,} steps, and its environment's time limit is "
            f"{time_limit:,}. With `masks` nothing is cut there: store `timeouts` if it was recorded "
            "with that limit."
        )


def _check_both(terminals: np.ndarray, timeouts: np.ndarray | None, origin: str) -> None:
    """Warn if every step at which a time limit cuts an episode is terminal, too."""
    count = 0 if timeouts is None else int(timeouts.astype(bool).sum())
    if count > 1 and terminals[timeouts.astype(bool)].all():  # type: ignore[union-attr]
        warn(
            f"{origin}: all {count:,} timeouts are terminals, too, and are taken as terminals: the value of "
            "their next state is zero. If the recorder stores one `done` for both, clear terminals where "
            "timeouts are set."
        )


def _breaks(observations: np.ndarray, next_observations: np.ndarray | None) -> np.ndarray:
    """Return (N,) bool: whether the data shows that the next row does not continue this one."""
    breaks = np.zeros(len(observations), bool)
    breaks[-1] = True
    if next_observations is not None:
        breaks[:-1] = ~follow(next_observations, observations)
    return breaks


def follow(next_observations: np.ndarray, observations: np.ndarray) -> np.ndarray:
    """Return (N - 1,) bool: whether a next observation is that of the next row, but for rounding."""
    following = np.empty(len(observations) - 1, bool)
    for start in range(0, len(following), _SLICE):
        part = slice(start, start + _SLICE)
        pairs = next_observations[:-1][part], observations[1:][part]
        following[part] = (pairs[0] == pairs[1]).all(axis=1)
        unequal = np.flatnonzero(~following[part])
        close = np.isclose(pairs[0][unequal], pairs[1][unequal], rtol=1e-6, atol=1e-6)
        following[start + unequal] = close.all(axis=1)
    return following


def _timeouts(
    columns: dict[str, np.ndarray], terminals: np.ndarray, breaks: np.ndarray, time_limit: int | None
) -> np.ndarray:
    """Return (N,) bool: the steps at which a time limit cuts an episode, as stored or inferred."""
    if "timeouts" in columns:
        return columns["timeouts"].astype(bool)
    if "next_observations" in columns:
        return np.append(breaks[:-1], False)
    if time_limit is None or MASKS in columns:
        return np.zeros(len(terminals), bool)
    row = np.arange(len(terminals))
    starts = np.where(np.append(True, terminals[:-1]), row, 0)
    return (row - np.maximum.accumulate(starts) + 1) % time_limit == 0
