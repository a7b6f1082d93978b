"""Scores of all methods on all datasets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from cocoa.report.groups import Group
from cocoa.report.page.tables import MOST_OPEN, Cell, Section, Table, interval, number
from cocoa.report.scores import Scores, best
from cocoa.report.selection import final_scores
from cocoa.runs.reevaluation import BLOCK
from cocoa.statistics.aggregates import iqm
from cocoa.statistics.bootstrap import Estimate, estimate

_MOST_COLUMNS = 8
"""Methods that stand beside each other."""


def table_of_scores(groups: Sequence[Group], scores: Scores, notes: Sequence[str]) -> Section:
    """Return the section with a column for each method, and all numbers of each row below."""
    return Section(
        "scores",
        "Scores",
        [
            "Interquartile means over seeds of the last evaluation, with 95 % bootstrap intervals. In bold: "
            "the highest on a dataset, and those whose intervals reach the lower end of its interval."
        ],
        problems=notes,
        tables=[_matrix(scores), _details(groups), *_final(groups)],
    )


def _matrix(scores: Scores) -> Table:
    """Return a table of datasets and methods, the rows those of which there are many."""
    rows = {dataset: _cells(scores, row) for dataset, row in scores.by_dataset.items()}
    if scores.overall:
        rows["all datasets"] = _cells(scores, scores.overall)
    units = set(scores.units.values())
    what = (
        {"score": "Scores (%)", "return": "Returns"}[units.pop()]
        if len(units) == 1
        else "Scores (%) or returns"
    )
    if len(scores.methods) <= max(_MOST_COLUMNS, len(rows)):
        cells = [[Cell(dataset), *row] for dataset, row in rows.items()]
        return Table(f"{what} by dataset and method", ("dataset", *scores.methods), cells)
    cells = [[Cell(method), *column] for method, *column in zip(scores.methods, *rows.values(), strict=True)]
    return Table(f"{what} by method and dataset", ("method", *rows), cells)


def _cells(scores: Scores, row: Mapping[str, Estimate]) -> list[Cell]:
    bold = best(row)
    return [
        interval(*row[method], kind="best" if method in bold else "") if method in row else number(None)
        for method in scores.methods
    ]


def _details(groups: Sequence[Group]) -> Table:
    rows = [
        [
            Cell(group.dataset),
            Cell(group.label),
            number(group.runs[0].updates, ",d"),
            number(len(group.seeds), "d"),
            number(group.diverged, "d"),
            interval(*group.last_iqm),
            number(float(group.last.mean())),
            interval(*group.last_ten_iqm),
            number(group.runs[0].behaviour if np.isfinite(group.runs[0].behaviour) else None),
        ]
        for group in groups
    ]
    columns = (
        *("dataset", "method", "updates", "seeds", "diverged"),
        *("last: IQM", "last: mean", "last 10: IQM", "data"),
    )
    return Table("Last evaluation, and mean of the last ten", columns, rows, folded=len(rows) > MOST_OPEN)


def _final(groups: Sequence[Group]) -> Iterator[Table]:
    """Yield the table of policies that were evaluated again in many episodes, if there are any."""
    rows = []
    for group in groups:
        means, episodes = _final_means(group)
        if len(means):
            numbers = interval(*estimate(iqm, [means])), number(float(means.mean()))
            counts = number(len(means), "d"), number(episodes, ",d")
            rows.append([Cell(group.dataset), Cell(group.label), *counts, *numbers])
    if rows:
        columns = ("dataset", "method", "seeds", "episodes each", "IQM", "mean")
        yield Table("Final evaluation, by cocoa evaluate", columns, rows, folded=len(rows) > MOST_OPEN)


def _final_means(group: Group) -> tuple[np.ndarray, int]:
    """Return the mean (seeds,) of each seed's final evaluation, and the fewest episodes of one."""
    means: dict[int, float] = {}
    episodes = []
    for run in group.runs:
        if found := final_scores(run):
            means |= found
            episodes.append(run.summary[BLOCK].get("episodes"))
    known = [count for count in episodes if isinstance(count, int)]
    return np.array(list(means.values())), min(known, default=0)
