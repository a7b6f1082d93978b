"""Aggregates that a few lucky runs cannot dominate (Agarwal et al., NeurIPS 2021)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.stats

_RESAMPLES = 10_000


def iqm(values: np.ndarray, axis: int = -1) -> np.ndarray:
    """Return the interquartile mean: the mean without the lowest and the highest quarter."""
    return scipy.stats.trim_mean(values, 0.25, axis=axis)


def bootstrap_interval(
    values: np.ndarray, statistic: Callable[..., np.ndarray] = iqm
) -> tuple[float, float] | None:
    """Return the 95 % percentile bootstrap interval of `statistic` of `values` (n,); None for fewer than two.

    `statistic` takes an array and its axis, as NumPy's do.
    """
    if len(values) < 2:
        return None
    result = scipy.stats.bootstrap(
        (values,), statistic, n_resamples=_RESAMPLES, method="percentile", rng=np.random.default_rng(0)
    )
    return float(result.confidence_interval.low), float(result.confidence_interval.high)
