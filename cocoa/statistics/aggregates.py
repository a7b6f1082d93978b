"""Aggregates of scores over seeds and datasets (Agarwal et al., NeurIPS 2021, arXiv 2108.13264).

The scores of a method are one array (..., seeds) per dataset; leading axes, if any, are resamples. Datasets
may have different numbers of seeds, and each dataset has the same weight. A seed without a finite score has
diverged. It counts as minus infinity, a result below every other: it is never left out.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Scores = Sequence[np.ndarray]
"""For each dataset the scores (..., seeds) of a method."""

GAMMA = 100.0
"""The normalized score (%) from which the optimality gap is measured."""
_NEGLIGIBLE = 1e-12
"""Weights below are errors of rounding."""


def ranked(values: np.ndarray) -> np.ndarray:
    """Return values of any shape, with minus infinity for what is not finite."""
    return np.where(np.isfinite(values), values, -np.inf)


def iqm(scores: Scores) -> np.ndarray:
    """Return the interquartile mean (...): the mean without the lowest and the highest quarter.

    Of N scores in all, floor(N / 4) are cut at either end, as by `scipy.stats.trim_mean(scores, 0.25)`. Where
    datasets have different numbers of seeds, a score has the weight 1 / seeds, and this share of the weight
    is cut. It is minus infinity where the diverged seeds are more than the lowest quarter.
    """
    values = np.concatenate([ranked(seeds) for seeds in scores], axis=-1)
    counts = [seeds.shape[-1] for seeds in scores]
    if len(set(counts)) == 1:
        return _trimmed(values)
    return _trimmed_by_weight(values, np.concatenate([np.full(n, 1 / (n * len(counts))) for n in counts]))


def mean(scores: Scores) -> np.ndarray:
    """Return the mean (...) of the datasets' means; minus infinity where a seed has diverged."""
    return _means(scores).mean(axis=0)


def median(scores: Scores) -> np.ndarray:
    """Return the median (...) of the datasets' means, that of one with a diverged seed as the lowest."""
    return np.median(_means(scores), axis=0)


def optimality_gap(scores: Scores, gamma: float = GAMMA) -> np.ndarray:
    """Return by how much scores miss `gamma` on average (...), those above it counted as `gamma`.

    Lower is better; it is infinite where a seed has diverged.
    """
    return gamma - np.mean([np.minimum(ranked(seeds), gamma).mean(axis=-1) for seeds in scores], axis=0)


def probability_of_improvement(scores: Scores, baseline: Scores) -> np.ndarray:
    """Return the probability (...) that a seed of a method scores above one of a baseline.

    It is the Mann-Whitney statistic of each dataset over the number of pairs, averaged over datasets: equal
    scores count half. A diverged seed is below every other, and equal to one that has diverged, too.
    """
    return np.mean([_above(*pair) for pair in zip(scores, baseline, strict=True)], axis=0)


def profile(scores: Scores, thresholds: np.ndarray) -> np.ndarray:
    """Return the performance profile (..., T): the share of runs whose score is above each threshold (T,).

    This is the run-score distribution, averaged over datasets.
    """
    shares = [(ranked(seeds)[..., None, :] > thresholds[:, None]).mean(axis=-1) for seeds in scores]
    return np.mean(shares, axis=0)


def _trimmed(values: np.ndarray) -> np.ndarray:
    """Return the mean (...) of `values` (..., N) without the lowest and the highest quarter."""
    cut = values.shape[-1] // 4
    return np.sort(values, axis=-1)[..., cut : values.shape[-1] - cut].mean(axis=-1)


def _trimmed_by_weight(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the same of values with weights (N,) that sum to one."""
    cut = (len(weights) // 4) / len(weights)
    order = np.argsort(values, axis=-1)
    weights = weights[order]
    above = np.cumsum(weights, axis=-1)
    kept = np.minimum(above, 1 - cut) - np.maximum(above - weights, cut)
    inside = kept > _NEGLIGIBLE
    values = np.where(inside, np.take_along_axis(values, order, axis=-1), 0.0)
    return (values * np.where(inside, kept, 0.0)).sum(axis=-1) / (1 - 2 * cut)


def _above(scores: np.ndarray, baseline: np.ndarray) -> np.ndarray:
    """Return the share (...) of pairs in which `scores` (..., n) are above `baseline` (..., m)."""
    ours, theirs = ranked(scores)[..., :, None], ranked(baseline)[..., None, :]
    return (ours > theirs).mean(axis=(-2, -1)) + (ours == theirs).mean(axis=(-2, -1)) / 2


def _means(scores: Scores) -> np.ndarray:
    return np.stack([ranked(seeds).mean(axis=-1) for seeds in scores])
