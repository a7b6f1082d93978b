"""One method against another: each dataset, all together, and what may be concluded."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from cocoa.errors import RunError
from cocoa.report.groups import Group
from cocoa.statistics.aggregates import iqm, mean, median, optimality_gap, probability_of_improvement, profile
from cocoa.statistics.bootstrap import Estimate, Statistic, bootstrap, estimate, percentiles
from cocoa.statistics.differences import Difference, difference

_MEASURES: Mapping[str, Statistic] = {
    "IQM": iqm,
    "mean": mean,
    "median": median,
    "optimality gap": optimality_gap,
}
_PROFILE_RESAMPLES = 2_000


@dataclass(frozen=True)
class Row:
    """Two methods on one dataset: scores (%) or returns of their last evaluations."""

    baseline: Group
    method: Group
    changed: tuple[str, ...]
    """Settings in which the two differ besides COCOA, as `algo.alpha: 2.5 -> 1.0`."""

    @property
    def dataset(self) -> str:
        """The dataset's label."""
        return self.baseline.dataset

    @property
    def unit(self) -> str:
        """`score` or `return`."""
        return self.baseline.runs[0].unit

    @property
    def paired(self) -> bool:
        """Whether both methods have the same seeds, which are then resampled as pairs."""
        return set(self.baseline.seeds) == set(self.method.seeds)

    @property
    def pairs(self) -> int:
        """The number of pairs of seeds; 0 where the methods are resampled on their own."""
        return len(self.baseline.seeds) if self.paired else 0

    @cached_property
    def baseline_values(self) -> np.ndarray:
        """The baseline's scores or returns (seeds,), in the order of its seeds, NaN for one that diverged."""
        return _by_seed(self.baseline)

    @cached_property
    def method_values(self) -> np.ndarray:
        """The method's, in the same way."""
        return _by_seed(self.method)

    @cached_property
    def measure(self) -> Measure:
        """The interquartile means over seeds and their difference."""
        between = difference([self.method_values], [self.baseline_values], [self.paired])
        return Measure(self.baseline.last_iqm, self.method.last_iqm, between)


class Measure(NamedTuple):
    """An aggregate of two methods.

    Those of one method have the percentile interval of the stratified bootstrap, their difference Student's.
    """

    baseline: Estimate
    method: Estimate
    difference: Difference
    """Method minus baseline."""


class Profile(NamedTuple):
    """The share of runs above each threshold, with its pointwise 95 % band; arrays (T,)."""

    thresholds: np.ndarray
    value: np.ndarray
    low: np.ndarray
    high: np.ndarray


@dataclass(frozen=True)
class Comparison:
    """A method against a baseline on all datasets that have both."""

    baseline: str
    """The label of the baseline, as `iql`."""
    method: str
    """The label of the method, as `iql+cocoa`."""
    rows: tuple[Row, ...]

    @property
    def scored(self) -> list[Row]:
        """The rows with normalized scores: only these are aggregated, returns have no common scale."""
        return [row for row in self.rows if row.unit == "score"]

    @cached_property
    def measures(self) -> dict[str, Measure]:
        """`IQM`, `mean`, `median`, `optimality gap` (lower is better) over datasets; empty without scores."""
        rows = self.scored
        return {name: _measure(statistic, rows) for name, statistic in _MEASURES.items() if rows}

    @cached_property
    def improvement(self) -> Estimate | None:
        """The probability that a seed of the method scores above one of the baseline; None without scores."""
        if not self.scored:
            return None
        return estimate(probability_of_improvement, *_sides(self.scored), paired=_paired(self.scored))

    def profiles(self, thresholds: np.ndarray | None = None) -> tuple[Profile, Profile] | None:
        """Return the performance profiles of baseline and method; None without normalized scores."""
        if not self.scored:
            return None
        method, baseline = _sides(self.scored)
        if thresholds is None:
            thresholds = _thresholds(np.concatenate(method + baseline))
        return _profile(baseline, thresholds), _profile(method, thresholds)


def comparisons(groups: Sequence[Group]) -> list[Comparison]:
    """Return the comparisons of plain algorithms with +COCOA, where runs of both are on the same data.

    A group with COCOA is compared with the plain group that has its settings otherwise. Where there is none,
    it is the one that differs in the fewest hyperparameters of the algorithm, as presets may do.
    """
    rows: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for group in groups:
        if group.runs[0].variant is None:
            continue
        if row := _plain_row(group, groups):
            rows[row.baseline.label, row.method.label].append(row)
    return [Comparison(*labels, tuple(found)) for labels, found in rows.items()]


def compare(groups: Sequence[Group], baseline: str, method: str) -> Comparison:
    """Return the comparison of two methods or labels of groups, on all datasets that have both.

    Raises RunError if no dataset has both, or one of them is several groups on a dataset.
    """
    rows = []
    for dataset in dict.fromkeys(group.dataset for group in groups):
        here = [group for group in groups if group.dataset == dataset]
        pair = [_only(name, here) for name in (baseline, method)]
        if pair[0] and pair[1]:
            rows.append(Row(pair[0], pair[1], ()))
    if not rows:
        known = ", ".join(dict.fromkeys(group.label for group in groups))
        raise RunError(f"No dataset has finished runs of {baseline!r} and {method!r}. There are: {known}.")
    return Comparison(baseline, method, tuple(rows))


def _only(name: str, groups: Sequence[Group]) -> Group | None:
    """Return the group of this label, or of this method if there is only one."""
    found = [group for group in groups if group.label == name] or [
        group for group in groups if group.runs[0].method == name
    ]
    if len(found) > 1:
        labels = ", ".join(repr(group.label) for group in found)
        raise RunError(f"{name!r} is several groups of runs on {found[0].dataset}. Choose one of {labels}.")
    return found[0] if found else None


def _plain_row(group: Group, groups: Sequence[Group]) -> Row | None:
    """Return the comparison of a group with the plain one that belongs to it, if there is one."""
    algo = group.runs[0].algo
    rows = [
        Row(other, group, tuple(_changes(other, group)))
        for other in groups
        if other.dataset == group.dataset and other.runs[0].variant is None and other.runs[0].algo == algo
    ]
    rows = [row for row in rows if all(change.startswith("algo.") for change in row.changed)]
    fewest = min((len(row.changed) for row in rows), default=0)
    nearest = [row for row in rows if len(row.changed) == fewest]
    return nearest[0] if len(nearest) == 1 else None


def _changes(plain: Group, cocoa: Group) -> Iterator[str]:
    """Yield the settings of both groups that differ; those of COCOA are not in a plain run."""
    before, after = plain.runs[0].settings, cocoa.runs[0].settings
    for name in before:
        if not name.startswith("cocoa") and name in after and before[name] != after[name]:
            yield f"{name}: {before[name]} -> {after[name]}"


def _by_seed(group: Group) -> np.ndarray:
    values = dict(zip(group.seeds, group.last, strict=True))
    return np.array([values[seed] for seed in sorted(values)])


def _sides(rows: Sequence[Row]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return for each dataset the values (seeds,) of the method, and those of the baseline."""
    return [row.method_values for row in rows], [row.baseline_values for row in rows]


def _paired(rows: Sequence[Row]) -> list[bool]:
    return [row.paired for row in rows]


def _measure(statistic: Statistic, rows: Sequence[Row]) -> Measure:
    method, baseline = _sides(rows)
    between = difference(method, baseline, _paired(rows), statistic)
    return Measure(estimate(statistic, baseline), estimate(statistic, method), between)


def _thresholds(scores: np.ndarray) -> np.ndarray:
    """Return thresholds (101,) from below the lowest to the highest finite score."""
    finite = scores[np.isfinite(scores)]
    low, high = (finite.min(), finite.max()) if finite.size else (0.0, 100.0)
    return np.linspace(min(0.0, math.floor(low)), max(100.0, math.ceil(high)), 101)


def _profile(scores: list[np.ndarray], thresholds: np.ndarray) -> Profile:
    draws = bootstrap(lambda drawn: profile(drawn, thresholds), scores, resamples=_PROFILE_RESAMPLES)
    return Profile(thresholds, profile(scores, thresholds), *percentiles(draws))
