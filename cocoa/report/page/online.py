"""The stage in which runs went on in their environment: curves over its steps, and what it gained."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib.ticker import EngFormatter

from cocoa.report.online import Gain, steps_of
from cocoa.report.page.rendering import INK, Chart
from cocoa.report.page.styles import MOST_CHARTS, Lines, panel, thinned
from cocoa.report.page.tables import Cell, Section, Table, interval, number
from cocoa.runs.plots import draw_curve, finish_curve, value_label
from cocoa.statistics.bootstrap import Estimate


def online(gains: Sequence[Gain]) -> Section | None:
    """Return the section; None if no run went on online."""
    if not gains:
        return None
    lines = Lines([gain.group.label for gain in gains])
    text = [
        "Scores over environment steps after the offline updates; step 0 is the last offline evaluation. "
        "The table has interquartile means over seeds with 95 % bootstrap intervals. The regret is the mean "
        "of 1 - score / 100 over the evaluations of this stage."
    ]
    return Section(
        "online", "Online", text, key=lines.keys(), charts=list(_charts(gains, lines)), tables=[_table(gains)]
    )


def _charts(gains: Sequence[Gain], lines: Lines) -> Iterator[Chart]:
    for dataset in list(dict.fromkeys(gain.group.dataset for gain in gains))[:MOST_CHARTS]:
        figure, axes = panel()
        members = [gain for gain in gains if gain.group.dataset == dataset]
        for gain in members:
            label = gain.group.label
            style = lines.color(label), lines.line(label)
            draw_curve(axes, *thinned(*gain.curve()), label, *style, each_seed=False)
        run = members[0].group.runs[0]
        if not np.isnan(run.behaviour):
            axes.axhline(run.behaviour, color=INK, linestyle=":", linewidth=1.2)
        finish_curve(axes, value_label(run.unit), "environment steps")
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        yield Chart(dataset, "", figure)


def _table(gains: Sequence[Gain]) -> Table:
    rows = [
        [
            Cell(gain.group.dataset),
            Cell(gain.group.label),
            number(steps_of(gain), ",d"),
            _cell(gain.before),
            _cell(gain.after),
            _cell(gain.mean),
            _cell(gain.regret, ".3f"),
        ]
        for gain in gains
    ]
    columns = "dataset", "method", "environment steps", "before", "after", "mean", "regret"
    return Table("Before the online stage, after it, and its mean", columns, rows)


def _cell(found: Estimate | None, form: str = ".1f") -> Cell:
    return interval(*found, form=form) if found else number(None)
