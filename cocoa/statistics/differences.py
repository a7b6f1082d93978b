"""Differences between two methods, and how many seeds show them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.stats

from cocoa.statistics.aggregates import Scores, iqm
from cocoa.statistics.bootstrap import CONFIDENCE, RESAMPLES, Estimate, Statistic, bootstrap, enough

POWER = 0.8
"""The probability with which `seeds_needed` promises that a difference is seen."""
MOST_SEEDS = 1_000
"""Seeds per dataset beyond which no number is given."""
_MOST_INFINITE = 0.01
"""Share of resamples that may be infinite, and are then left out of the standard error."""


@dataclass(frozen=True)
class Difference:
    """By how much a method's aggregate exceeds a baseline's."""

    estimate: Estimate
    """The difference with its 95 % interval; NaN where it is undefined."""
    deviation: float
    """The standard error times the root of the seeds per dataset (their harmonic mean); NaN without one."""
    strata: int
    """Over how many samples of seeds the spread is estimated: one for a paired dataset, else two."""

    @property
    def sign(self) -> int:
        """1 if the interval is above zero, -1 if it is below, 0 if there is no conclusion."""
        return int(self.estimate.low > 0) - int(self.estimate.high < 0)

    def seeds_needed(self, effect: float | None = None, power: float = POWER) -> int | None:
        """Return `seeds_needed` of a true difference of `effect`, or of the one that was observed."""
        size = self.estimate.value if effect is None else effect
        return seeds_needed(size, self.deviation, self.strata, power)


def difference(
    scores: Scores,
    baseline: Scores,
    paired: Sequence[bool] = (),
    statistic: Statistic = iqm,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Difference:
    """Return the difference of a statistic of two methods, `scores` minus `baseline`, with its 95 % interval.

    On datasets (D,) where `paired` is true both methods have the same seeds, in the same order, and these are
    resampled as pairs; elsewhere each on its own. The interval is value +- t * error: `error` is the standard
    deviation of the resamples times sqrt(sum 1/n / sum (n-1)/n^2), which undoes that resampling n seeds shows
    only (n-1)/n of their variance, and t is Student's quantile for sum (n-1) degrees of freedom, the sums
    over all samples of n seeds: one for a paired dataset, else two. For the mean on one paired dataset this
    is the paired t interval. There is no interval where a dataset has a single seed, or where diverged seeds
    make the difference infinite in more than 1 of 100 resamples.
    """
    together = paired or [False] * len(scores)
    counts = [len(seeds) for seeds in scores]
    counts += [len(seeds) for seeds, pairs in zip(baseline, together, strict=True) if not pairs]
    with np.errstate(invalid="ignore"):  # the difference of two methods that both diverged
        value = float(statistic(scores) - statistic(baseline))
        missing = Difference(Estimate(value, np.nan, np.nan), np.nan, len(counts))
        if not (enough(scores, baseline) and math.isfinite(value)):
            return missing
        draws = bootstrap(
            lambda x, y: statistic(x) - statistic(y),
            scores,
            baseline,
            paired=together,
            resamples=resamples,
            seed=seed,
        )
    finite = draws[np.isfinite(draws)]
    if len(finite) < (1 - _MOST_INFINITE) * len(draws):
        return missing
    n = np.array(counts)
    error = float(finite.std() * np.sqrt((1 / n).sum() / ((n - 1) / n**2).sum()))
    half = error * float(scipy.stats.t.ppf((1 + CONFIDENCE) / 2, (n - 1).sum()))
    per_seed = error / math.sqrt((1 / n).mean())
    return Difference(Estimate(value, value - half, value + half), per_seed, len(n))


def seeds_needed(effect: float, deviation: float, strata: int, power: float = POWER) -> int | None:
    """Return the seeds per dataset with which the 95 % interval excludes zero with probability `power`.

    `effect` is the true difference, and `deviation` / sqrt(n) its standard error with n seeds per dataset.
    The result is the least n with P(T > t) >= power: T has a noncentral t distribution with strata (n-1)
    degrees of freedom and noncentrality |effect| sqrt(n) / deviation, and t is the 97.5 % quantile of the
    central one. None if more than `MOST_SEEDS` are needed, or the deviation is not known.
    """
    if not (math.isfinite(deviation) and math.isfinite(effect)):
        return None
    n = np.arange(2, MOST_SEEDS + 1)
    freedom = strata * (n - 1)
    noncentrality = abs(effect) * np.sqrt(n) / max(deviation, 1e-12 * abs(effect), 1e-300)
    critical = scipy.stats.t.ppf((1 + CONFIDENCE) / 2, freedom)
    # Far beyond certainty the noncentral t loses its numbers.
    reached = scipy.stats.nct.sf(critical, freedom, np.minimum(noncentrality, critical + 10)) >= power
    return int(n[reached][0]) if reached.any() else None
