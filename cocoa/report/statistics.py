"""Aggregates over runs that a few lucky ones cannot dominate (Agarwal et al., NeurIPS 2021)."""

from __future__ import annotations

import numpy as np
import scipy.stats

_RESAMPLES = 10_000


def iqm(values: np.ndarray, axis: int = -1) -> np.ndarray:
    """Return the interquartile mean: the mean without the lowest and the highest quarter."""
    return scipy.stats.trim_mean(values, 0.25, axis=axis)


def bootstrap_interval(values: np.ndarray) -> tuple[float, float] | None:
    """Return the 95 % percentile bootstrap interval of the IQM of `values` (n,); None for less than two."""
    if len(values) < 2:
        return None
    found = scipy.stats.bootstrap(
        (values,), iqm, n_resamples=_RESAMPLES, method="percentile", rng=np.random.default_rng(0)
    )
    return float(found.confidence_interval.low), float(found.confidence_interval.high)
