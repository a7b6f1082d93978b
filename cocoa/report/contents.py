"""All that a report shows of the runs in some folders, as plain values."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cocoa.errors import ConfigError
from cocoa.report.comparison import Comparison, compare, comparisons
from cocoa.report.deployment import Price, price_of_tuning, varies
from cocoa.report.groups import Group, grouped
from cocoa.report.held_out import HeldOut, held_out
from cocoa.report.notes import notes
from cocoa.report.runs import find_finished
from cocoa.report.scores import Scores, scores_of
from cocoa.report.selection import selections
from cocoa.report.unfinished import Unfinished, unfinished
from cocoa.report.verdict import verdict
from cocoa.runs.places import folder_name
from cocoa.selection import comparison as selection


@dataclass(frozen=True)
class Options:
    """What a report is to show beside what it shows of all runs."""

    compare: tuple[str, str] | None = None
    """Two methods, or labels of the table: baseline and method."""
    effect: float | None = None
    """A true difference; comparisons say how many seeds would show it."""
    tuning: bool = False
    """Show the price of tuning, which is shown anyway where a method has several settings on a dataset."""

    def __post_init__(self) -> None:
        if self.effect is not None and not 0 < self.effect < math.inf:
            raise ConfigError(f"An effect of {self.effect:g} is not possible: give a size above 0.")


@dataclass(frozen=True)
class Contents:
    """What a report shows."""

    name: str
    """How its files begin."""
    groups: Sequence[Group]
    """Of finished runs that were evaluated."""
    scores: Scores
    comparisons: Sequence[Comparison]
    verdicts: Sequence[str]
    """What the comparisons show, a paragraph for each."""
    chosen: Comparison | None
    """That of `options.compare`."""
    prices: Sequence[Price]
    """The price of tuning, by dataset; empty where it is not shown."""
    selections: Sequence[selection.Comparison]
    """Policies with estimates from recorded data alone, by dataset."""
    notes: Sequence[str]
    """Sentences on what keeps numbers from being compared."""
    held_out: Sequence[HeldOut]
    """Losses of finished runs that were not evaluated."""
    left_out: Mapping[Path, str]
    """Why each run with a folder that is in none of the above is left out."""
    others: Sequence[Unfinished]
    """The same runs and those that are planned, with their states."""
    options: Options


def contents_of(folders: Sequence[Path], options: Options = Options()) -> Contents:
    """Return what there is to report of the runs at or below `folders`.

    Raises RunError if the runs do not have the methods of `options.compare`.
    """
    runs, others = find_finished(list(folders))
    losses = held_out(others)
    left_out = {folder: why for folder, why in others.items() if folder not in {one.folder for one in losses}}
    started = [*(run.folder for run in runs), *others]
    groups = grouped(runs)
    compared = comparisons(groups)
    return Contents(
        report_name(folders),
        groups,
        scores_of(groups),
        compared,
        [verdict(one, options.effect) for one in compared],
        compare(groups, *options.compare) if options.compare else None,
        price_of_tuning(groups) if options.tuning or varies(groups) else [],
        selections(groups),
        list(notes(groups)),
        losses,
        left_out,
        unfinished(folders, left_out, started),
        options,
    )


def report_name(folders: Sequence[Path]) -> str:
    """Return how the files of a report begin: the name of the folder, or of the first of several."""
    return folder_name(folders[0].resolve().name or "runs")
