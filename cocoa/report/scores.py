"""The scores of all methods on all datasets, each with its interval."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cocoa.report.groups import Group
from cocoa.report.markdown import number, table
from cocoa.statistics.aggregates import iqm
from cocoa.statistics.bootstrap import Estimate, estimate


@dataclass(frozen=True)
class Scores:
    """Interquartile means of the last evaluations over seeds, with 95 % bootstrap intervals."""

    units: Mapping[str, str]
    """For each dataset `score` or `return`."""
    methods: Sequence[str]
    by_dataset: Mapping[str, Mapping[str, Estimate]]
    """{dataset: {method: estimate}}."""
    overall: Mapping[str, Estimate]
    """Over all datasets, of the methods that have a score on each; empty for a single dataset."""


def scores_of(groups: Sequence[Group]) -> Scores:
    """Return the scores of groups."""
    units = {group.dataset: group.runs[0].unit for group in groups}
    methods = list(dict.fromkeys(group.label for group in groups))
    cells = {(group.dataset, group.label): group for group in groups}
    by_dataset = {
        dataset: {method: cells[dataset, method].last_iqm for method in methods if (dataset, method) in cells}
        for dataset in units
    }
    overall = {}
    if len(units) > 1 and set(units.values()) == {"score"}:
        for method in methods:
            if all((dataset, method) in cells for dataset in units):
                overall[method] = estimate(iqm, [cells[dataset, method].last for dataset in units])
    return Scores(units, methods, by_dataset, overall)


def markdown(groups: Sequence[Group]) -> str:
    """Return a Markdown table: IQM over seeds with its 95 % bootstrap interval, last and mean of last ten.

    The IQM counts a diverged seed as minus infinity; the mean of a group that has one is nan.
    """
    header = ("dataset", "method", "updates", "seeds", "last: IQM", "last: mean", "last 10: IQM", "data")
    rows = []
    for group in groups:
        run, last = group.runs[0], group.last
        seeds = f"{len(last)} ({group.diverged} diverged)" if group.diverged else f"{len(last)}"
        data = "-" if math.isnan(run.behaviour) else f"{run.behaviour:.1f}"
        scores = number(group.last_iqm), f"{last.mean():.1f}", number(group.last_ten_iqm)
        rows.append((group.dataset, group.label, f"{run.updates:,}", seeds, *scores, data))
    return table(header, rows)


def best(estimates: Mapping[str, Estimate]) -> set[str]:
    """Return the methods that are not clearly below the highest: whose interval reaches its lower end.

    Without intervals it is the highest alone. Methods that diverged are not among them, and a method that is
    the only one is not the best.
    """
    if len(estimates) < 2:
        return set()
    finite = {method: one for method, one in estimates.items() if math.isfinite(one.value)}
    if not finite:
        return set()
    highest = max(finite.values(), key=lambda one: one.value)
    floor = highest.low if math.isfinite(highest.low) else highest.value
    return {method for method, one in finite.items() if max(one.value, _upper(one)) >= floor}


def _upper(one: Estimate) -> float:
    return one.high if math.isfinite(one.high) else one.value
