"""Learning curves: one figure for each dataset, with the same colours in all."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from matplotlib.ticker import EngFormatter

from cocoa.report.groups import Group
from cocoa.report.online import gains
from cocoa.report.page.rendering import INK, Chart
from cocoa.report.page.styles import MOST_CHARTS, Lines, panel, thinned
from cocoa.report.page.tables import Section
from cocoa.runs.plots import draw_curve, finish_curve, value_label

_MOST_CURVES = 12
"""In a figure."""


def by_dataset(groups: Sequence[Group]) -> dict[str, list[Group]]:
    """Return the groups of each dataset."""
    datasets: dict[str, list[Group]] = defaultdict(list)
    for group in groups:
        datasets[group.dataset].append(group)
    return dict(datasets)


def curves(groups: Sequence[Group]) -> Section:
    """Return the section."""
    datasets = by_dataset(groups)
    drawn = {dataset: _highest(members) for dataset, members in datasets.items()}
    lines = Lines([group.label for members in drawn.values() for group in members])
    text = [
        "Means over seeds with 95 % intervals (Student's t); of two seeds the range. The dotted line is the "
        "data's own score."
    ]
    if gains(groups):
        text.append("Behind the updates of a run that went on online its environment steps are counted.")
    if any(len(members) > _MOST_CURVES for members in datasets.values()):
        text.append(
            f"Of more than {_MOST_CURVES} methods on a dataset those with the highest scores are drawn."
        )
    if len(datasets) > MOST_CHARTS:
        text.append(f"The first {MOST_CHARTS} of {len(datasets)} datasets are drawn.")
    return Section("curves", "Learning curves", text, key=lines.keys(), charts=list(_charts(drawn, lines)))


def _highest(groups: Sequence[Group]) -> list[Group]:
    """Return the groups that are drawn, in their order: those with the highest interquartile means."""
    ranked = sorted(groups, key=lambda group: -np.nan_to_num(group.last_iqm.value, nan=-np.inf))
    chosen = {group.label for group in ranked[:_MOST_CURVES]}
    return [group for group in groups if group.label in chosen]


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
        finish_curve(axes, value_label(run.unit))
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        yield Chart(dataset, "", figure)
