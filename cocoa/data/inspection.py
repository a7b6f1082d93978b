"""What is in a dataset: statistics to look at before training on it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from cocoa.data.dataset import Dataset
from cocoa.data.preprocessing import action_bounds
from cocoa.data.scores import percent, reference_returns

SAMPLE = 100_000
"""Rows of which quantiles and principal components are computed, drawn at random from larger datasets."""
_SLICE = 1 << 18  # rows
_AT_BOUND = 1e-3  # of half the range: closer is at the bound
_FEW = 20  # distinct rewards that are counted one by one


@dataclass(frozen=True)
class Spread:
    """How numbers are distributed."""

    low: float
    lower: float
    """The 1 % quantile."""
    median: float
    mean: float
    upper: float
    """The 99 % quantile."""
    high: float
    std: float

    @classmethod
    def of(cls, values: np.ndarray) -> Spread:
        """Return the spread of numbers (N,) of which there is at least one."""
        values = values.astype(np.float64)
        lower, median, upper = np.quantile(values, (0.01, 0.5, 0.99))
        numbers = values.min(), lower, median, values.mean(), upper, values.max(), values.std()
        return cls(*map(float, numbers))


@dataclass(frozen=True)
class Column:
    """One dimension of the observations or actions."""

    spread: Spread
    constant: bool
    same_as: int | None
    """An earlier dimension with the same number in every row."""
    at_low: float | None = None
    """Of an action: the share of rows at the lower bound."""
    at_high: float | None = None
    """Of an action: the share of rows at the upper bound."""


@dataclass(frozen=True)
class Ends:
    """How many episodes end in which way."""

    terminal: int
    time_limit: int
    cut: int
    """By the end of a recording, or where the next row does not continue the episode."""


@dataclass(frozen=True)
class Inspection:
    """The statistics of a dataset, in the environment's units."""

    name: str
    env: str | None
    sha256: str
    transitions: int
    episodes: int
    ends: Ends
    returns: Spread
    """Of all episodes."""
    behaviour_return: float
    """Mean of the complete episodes, or of all if none is complete, as in the log and summary of a run."""
    references: tuple[float, float] | None
    """The returns that score 0 % and 100 %, where they are known."""
    scores: Spread | None
    """The returns as normalized scores in percent, where reference returns are known."""
    lengths: Spread
    """Transitions of an episode."""
    rewards: Spread
    reward_values: dict[float, int] | None
    """How often each reward occurs, where there are no more than 20 different ones."""
    observations: tuple[Column, ...]
    actions: tuple[Column, ...]
    action_bounds: tuple[tuple[float, float], ...]
    """As in training: of the environment, or where it is not known, -1 and 1 or the largest in the data."""
    terminals_within: int
    """Terminal transitions at which the episode goes on, as `masks` allow."""
    repeated: int
    """Transitions that are equal to an earlier one in state, action, reward and next state."""
    next_unknown: int
    """Terminal transitions whose next observation was not recorded, or is not a number."""
    components: int
    """Principal components of the standardised observations that hold 95 % of their variance."""
    validation: int | None
    """Transitions of the dataset's own validation split, if it has one."""


def inspect(dataset: Dataset) -> Inspection:
    """Return the statistics of a dataset.

    Memory for about 20 bytes per transition is taken. Ranges, counts and shares are those of all rows,
    quantiles of observations, actions and rewards and the principal components of `SAMPLE` of them.
    """
    rows = sample(len(dataset))
    lengths = episode_lengths(dataset)
    references = reference_returns(dataset.name, dataset.reference_returns) or reference_returns(dataset.env)
    low, high = action_bounds(dataset)
    return Inspection(
        name=dataset.name,
        env=dataset.env,
        sha256=dataset.sha256,
        transitions=len(dataset),
        episodes=len(dataset.complete),
        ends=Ends(*(int((kind_of_end(dataset) == kind).sum()) for kind in range(3))),
        returns=Spread.of(dataset.episode_returns),
        behaviour_return=dataset.behaviour_return,
        references=references,
        scores=Spread.of(percent(dataset.episode_returns, references)) if references else None,
        lengths=Spread.of(lengths[lengths > 0]),
        rewards=_spreads(dataset.rewards[:, None], rows)[0],
        reward_values=_values(dataset.rewards),
        observations=_columns(dataset.observations, rows),
        actions=_columns(dataset.actions, rows, (low, high)),
        action_bounds=tuple(zip(low.tolist(), high.tolist(), strict=True)),
        terminals_within=int((dataset.terminals & ~_last(dataset)).sum()),
        repeated=_repeated(dataset),
        next_unknown=int((~dataset.next_observed).sum()),
        components=_components(dataset.observations[rows]),
        validation=len(dataset.validation) if dataset.validation else None,
    )


def sample(rows: int) -> np.ndarray:
    """Return the indices, in ascending order, of all rows or of `SAMPLE` that are drawn at random."""
    if rows <= SAMPLE:
        return np.arange(rows)
    return np.sort(np.random.default_rng(0).choice(rows, SAMPLE, replace=False, shuffle=False))


def episode_lengths(dataset: Dataset) -> np.ndarray:
    """Return the number of transitions (E,) of each episode; some may have none."""
    return np.bincount(dataset.episodes, minlength=len(dataset.complete))


def kind_of_end(dataset: Dataset) -> np.ndarray:
    """Return (E,) how each episode ends: 0 terminal, 1 by a time limit, 2 cut."""
    kinds = np.where(dataset.complete, 1, 2)
    kinds[dataset.episodes[dataset.terminals & _last(dataset)]] = 0
    return kinds


def _last(dataset: Dataset) -> np.ndarray:
    """Return (N,) bool: the last transition of each episode."""
    return np.append(dataset.episodes[1:] != dataset.episodes[:-1], True)


def slices(rows: int) -> Iterator[slice]:
    """Yield slices that cover all rows, so that temporary arrays stay small."""
    for start in range(0, rows, _SLICE):
        yield slice(start, start + _SLICE)


def principal(observations: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the first two principal components (N, 2) of standardised observations, and all variances.

    The variances (O,) are shares of the whole, the largest first. With one dimension the second component is
    zero.
    """
    centered = observations.astype(np.float64)
    centered -= centered.mean(axis=0)
    std = centered.std(axis=0)
    centered /= np.where(std > 0, std, 1.0)
    values, vectors = np.linalg.eigh(centered.T @ centered)
    values, vectors = values[::-1].clip(0), vectors[:, ::-1]
    shares = values / values.sum() if values.sum() > 0 else np.zeros_like(values)
    projected = np.zeros((len(centered), 2))
    projected[:, : vectors.shape[1]] = centered @ vectors[:, :2]
    return projected, shares


def _components(observations: np.ndarray) -> int:
    shares = principal(observations)[1]
    return int((np.cumsum(shares) < 0.95 - 1e-9).sum()) + 1 if shares.any() else 0


def _columns(
    matrix: np.ndarray, rows: np.ndarray, bounds: tuple[np.ndarray, np.ndarray] | None = None
) -> tuple[Column, ...]:
    spreads = _spreads(matrix, rows)
    shares = _shares_at(matrix, *bounds) if bounds else [(None, None)] * len(spreads)
    same = _same(matrix, rows)
    return tuple(
        Column(spread, spread.low == spread.high, equal, *at)
        for spread, equal, at in zip(spreads, same, shares, strict=True)
    )


def _spreads(matrix: np.ndarray, rows: np.ndarray) -> list[Spread]:
    """Return the spread of each column: extremes, mean and deviation of all rows, quantiles of `rows`."""
    low, high = matrix.min(axis=0).astype(np.float64), matrix.max(axis=0).astype(np.float64)
    parts = list(slices(len(matrix)))
    mean = sum(matrix[part].sum(axis=0, dtype=np.float64) for part in parts) / len(matrix)
    squares = sum(((matrix[part] - mean) ** 2).sum(axis=0) for part in parts)
    std = np.where(low == high, 0.0, np.sqrt(squares / len(matrix)))
    lower, median, upper = np.quantile(matrix[rows].astype(np.float64), (0.01, 0.5, 0.99), axis=0)
    numbers = np.stack([low, lower, median, mean, upper, high, std])
    return [Spread(*column) for column in numbers.T.tolist()]


def _shares_at(matrix: np.ndarray, low: np.ndarray, high: np.ndarray) -> list[tuple[float, float]]:
    slack = _AT_BOUND * (high - low) / 2
    parts = list(slices(len(matrix)))
    at_low = sum((matrix[part] <= low + slack).sum(axis=0) for part in parts) / len(matrix)
    at_high = sum((matrix[part] >= high - slack).sum(axis=0) for part in parts) / len(matrix)
    return list(zip(np.asarray(at_low).tolist(), np.asarray(at_high).tolist(), strict=True))


def _same(matrix: np.ndarray, rows: np.ndarray) -> list[int | None]:
    """Return for each column the first earlier one that equals it in all rows, constant ones left out."""
    first: dict[bytes, int] = {}
    same: list[int | None] = []
    for index, column in enumerate(matrix[rows].T):
        earlier = first.setdefault(column.tobytes(), index)
        differs = earlier == index or column.min() == column.max()
        same.append(None if differs or (matrix[:, earlier] != matrix[:, index]).any() else earlier)
    return same


def _values(rewards: np.ndarray) -> dict[float, int] | None:
    if len(np.unique(rewards[:_SLICE])) > _FEW:
        return None
    values, counts = np.unique(rewards, return_counts=True)
    return dict(zip(values.tolist(), counts.tolist(), strict=True)) if len(values) <= _FEW else None


def _repeated(dataset: Dataset) -> int:
    """Return how many transitions are equal to an earlier one, up to collisions of their 64-bit hashes."""
    columns = (dataset.observations, dataset.actions, dataset.rewards[:, None], dataset.next_observations)
    hashes = np.zeros(len(dataset), np.uint64)
    rng = np.random.default_rng(0)
    for matrix in columns:
        for column in matrix.T:
            factor = rng.integers(2**63, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
            for part in slices(len(dataset)):
                bits = (column[part] + np.float32(0)).view(np.uint32).astype(np.uint64)  # -0 is 0
                mixed = (hashes[part] ^ bits) * factor
                hashes[part] = mixed ^ (mixed >> np.uint64(29))
    hashes.sort()
    return int((hashes[1:] == hashes[:-1]).sum())
