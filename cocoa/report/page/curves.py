"""Learning curves: one figure for each dataset, with the same colours in all."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from matplotlib.ticker import EngFormatter

from cocoa.report.groups import Group
from cocoa.report.page.rendering import INK, Chart
from cocoa.report.page.styles import MOST_CHARTS, Lines, panel, thinned
from cocoa.report.page.tables import Section
from cocoa.runs.plots import draw_curve, finish_curve


def by_dataset(groups: Sequence[Group]) -> dict[str, list[Group]]:
    """Return the groups of each dataset."""
    datasets: dict[str, list[Group]] = defaultdict(list)
    for group in groups:
        datasets[group.dataset].append(group)
    return dict(datasets)


def curves(groups: Sequence[Group]) -> Section:
    """Return the section."""
    lines = Lines([group.label for group in groups])
    datasets = by_dataset(groups)
    text = [
        "Means over seeds with 95 % intervals (Student's t); of two seeds the range. The dotted line is the "
        "data's own score."
    ]
    if len(datasets) > MOST_CHARTS:
        text.append(f"The first {MOST_CHARTS} of {len(datasets)} datasets are drawn.")
    return Section("curves", "Learning curves", text, key=lines.keys(), charts=list(_charts(datasets, lines)))


def _charts(datasets: Mapping[str, Sequence[Group]], lines: Lines) -> Iterator[Chart]:
    for dataset, groups in list(datasets.items())[:MOST_CHARTS]:
        figure, axes = panel()
        for group in groups:
            steps, values = thinned(*group.curve())
            style = lines.color(group.label), lines.line(group.label)
            draw_curve(axes, steps, values, group.label, *style, each_seed=False)
        for line in axes.lines:
            line.set_linewidth(1.6)
            if np.size(line.get_xdata()) > 1:
                line.set_marker("None")
        run = groups[0].runs[0]
        if not np.isnan(run.behaviour):
            axes.axhline(run.behaviour, color=INK, linestyle=":", linewidth=1.2)
        finish_curve(axes, "score (%)" if run.unit == "score" else "return")
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        yield Chart(dataset, "", figure)
