"""Stratified bootstrap: seeds are resampled within each dataset (Agarwal et al., NeurIPS 2021)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from cocoa.statistics.aggregates import Scores

Statistic = Callable[..., np.ndarray]
"""Takes the scores of one or several methods, each a list of arrays (..., seeds); returns (...)."""

RESAMPLES = 10_000
CONFIDENCE = 0.95
_BLOCK = 1_000
"""Resamples that are in memory at once."""


class Estimate(NamedTuple):
    """A number with its interval; the ends are NaN where there is none."""

    value: float
    low: float
    high: float


def estimate(
    statistic: Statistic, *methods: Scores, paired: Sequence[bool] = (), resamples: int = RESAMPLES
) -> Estimate:
    """Return a statistic of the methods' scores with its 95 % percentile bootstrap interval, as rliable's.

    The arguments are those of `bootstrap`. There is no interval where a dataset has a single seed, whose
    spread nobody knows. With few seeds the percentile interval is too narrow: see docs/statistics.md.
    """
    value = float(statistic(*methods))
    if not enough(*methods):
        return Estimate(value, np.nan, np.nan)
    low, high = percentiles(bootstrap(statistic, *methods, paired=paired, resamples=resamples))
    return Estimate(value, float(low), float(high))


def enough(*methods: Scores) -> bool:
    """Return whether all datasets have the two seeds of each method that an interval needs."""
    return all(len(seeds) > 1 for scores in methods for seeds in scores)


def bootstrap(
    statistic: Statistic,
    *methods: Scores,
    paired: Sequence[bool] = (),
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> np.ndarray:
    """Return the statistic of `resamples` resamples, (resamples, ...).

    Each method has for each dataset its scores (seeds,). Seeds are drawn with replacement within each
    dataset, as many as it has. On the datasets (D,) whose `paired` is true the methods' seeds are drawn
    together, by position; elsewhere, and without `paired`, each method's are drawn on their own. Raises
    ValueError if seeds that are to be paired are not equally many.
    """
    rng = np.random.default_rng(seed)
    together = paired or [False] * len(methods[0])
    for dataset, pairs in enumerate(together):
        if pairs and len({len(scores[dataset]) for scores in methods}) > 1:
            raise ValueError(f"the methods have different numbers of seeds on dataset {dataset}: no pairs")
    counts = [min(_BLOCK, resamples - done) for done in range(0, resamples, _BLOCK)]
    return np.concatenate([statistic(*_resample(methods, together, count, rng)) for count in counts])


def percentiles(draws: np.ndarray, confidence: float = CONFIDENCE) -> tuple[np.ndarray, np.ndarray]:
    """Return the ends (...) of the percentile interval of a statistic's resamples (resamples, ...).

    A resample in which the statistic is undefined, as the difference of two methods that both diverged,
    counts as the lowest for the lower end and as the highest for the upper one.
    """
    tail = (1 - confidence) / 2
    undefined = np.isnan(draws)
    low = _quantile(np.where(undefined, -np.inf, draws), tail)
    return low, -_quantile(-np.where(undefined, np.inf, draws), tail)


def _quantile(draws: np.ndarray, share: float) -> np.ndarray:
    """Return the quantile, interpolated; minus infinity where it lies between that and a number."""
    with np.errstate(invalid="ignore"):
        quantile = np.quantile(draws, share, axis=0)
    return np.where(np.isnan(quantile), -np.inf, quantile)


def _resample(
    methods: Sequence[Scores], paired: Sequence[bool], count: int, rng: np.random.Generator
) -> list[list[np.ndarray]]:
    """Return for each method and dataset `count` resamples (count, seeds)."""
    resampled: list[list[np.ndarray]] = [[] for _ in methods]
    for dataset, together in enumerate(paired):
        chosen = None
        for method, scores in zip(resampled, methods, strict=True):
            seeds = scores[dataset]
            if chosen is None or not together:
                chosen = rng.integers(len(seeds), size=(count, len(seeds)))
            method.append(seeds[chosen])
    return resampled
