"""What runs cost: seconds of each stage, and updates per second."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cocoa.report.groups import Group
from cocoa.report.page.rendering import Chart
from cocoa.report.page.styles import COLORS, panel
from cocoa.report.page.tables import MOST_OPEN, Cell, Key, Section, Table, number

_MOST_BARS = 30
_SMALL = 0.005
"""Share of the time below which a stage is counted with the others in the figure."""


def seconds_of(summary: Mapping[str, Any]) -> dict[str, float]:
    """Return the seconds of each stage of a run; empty where a summary has none that can be read."""
    seconds = summary.get("seconds")
    if not isinstance(seconds, Mapping):
        return {}
    return {str(stage): float(x) for stage, x in seconds.items() if isinstance(x, int | float)}


def cost(groups: Sequence[Group]) -> Section:
    """Return the section."""
    text = [
        "Medians over the runs of a row. Models and anchors that an earlier run has made are read from the "
        "cache, which takes almost no time: only the run that made them shows what they cost. Updates per "
        "second are those of each seed, all seeds of a run training at the same time; they leave out "
        "compilation, which the seconds include."
    ]
    by_method = _by_method(groups)
    stages = _stages(list(by_method.values()))
    charts = [_chart(by_method, stages)] if by_method and stages else []
    colors = _colors(stages)
    key = [Key(stage, color) for stage, color in colors.items()]
    return Section("cost", "Time and cost", text, key=key, charts=charts, tables=[_table(groups)])


def _by_method(groups: Sequence[Group]) -> dict[str, dict[str, float]]:
    """Return the mean over runs of the seconds of each stage, for each method."""
    runs: dict[str, list[dict[str, float]]] = {}
    for group in groups:
        runs.setdefault(group.label, []).extend(
            seconds for run in group.runs if (seconds := seconds_of(run.summary))
        )
    return {
        label: {stage: sum(one.get(stage, 0.0) for one in every) / len(every) for stage in _order(every)}
        for label, every in runs.items()
        if every
    }


def _order(every: Sequence[Mapping[str, float]]) -> list[str]:
    return list(dict.fromkeys(stage for one in every for stage in one))


def _stages(methods: Sequence[Mapping[str, float]]) -> list[str]:
    """Return the stages that are worth a colour, the longest first."""
    totals = {stage: sum(one.get(stage, 0.0) for one in methods) for stage in _order(methods)}
    least = _SMALL * sum(totals.values())
    ordered = sorted(totals, key=lambda stage: -totals[stage])
    return [stage for stage in ordered if totals[stage] > least][: len(COLORS) - 1]


def _colors(stages: Sequence[str]) -> dict[str, str]:
    return {stage: color for stage, color in zip(stages, (c for c in COLORS if c != COLORS[6]), strict=False)}


def _chart(methods: Mapping[str, Mapping[str, float]], stages: Sequence[str]) -> Chart:
    shown = list(methods.items())[:_MOST_BARS]
    figure, axes = panel(0.9 + 0.3 * len(shown), long_labels=True)
    left = np.zeros(len(shown))
    places = range(len(shown))
    for stage, color in _colors(stages).items():
        widths = np.array([seconds.get(stage, 0.0) for _, seconds in shown])
        axes.barh(places, widths, 0.65, left, color=color)
        left += widths
    rest = np.array([sum(seconds.values()) for _, seconds in shown]) - left
    axes.barh(places, rest.clip(min=0), 0.65, left, color=COLORS[6])
    axes.set_xlim(0, 1.04 * max((left + rest).max(), 1.0))
    axes.set_yticks(places, [label if len(label) < 32 else f"{label[:29]}..." for label, _ in shown])
    axes.invert_yaxis()
    axes.set_xlabel("seconds per run")
    axes.grid(axis="y", visible=False)
    more = f" The first {_MOST_BARS} of {len(methods)} methods." if len(methods) > len(shown) else ""
    return Chart(
        "Seconds by stage", f"Means over runs and datasets; grey is all that is short.{more}", figure
    )


def _table(groups: Sequence[Group]) -> Table:
    runs = [[seconds_of(run.summary) for run in group.runs] for group in groups]
    stages = _order([seconds for every in runs for seconds in every])
    rows = [
        [
            Cell(group.dataset),
            Cell(group.label),
            number(float(len(group.runs)), ".0f"),
            number(_median(_speeds(group)), ",.1f"),
            number(_median([sum(seconds.values()) for seconds in every]), ",.0f"),
            *(number(_median([seconds.get(stage, 0.0) for seconds in every]), ",.1f") for stage in stages),
        ]
        for group, every in zip(groups, runs, strict=True)
    ]
    columns = ("dataset", "method", "runs", "updates/s", "seconds", *stages)
    return Table("Seconds of a run, in all and by stage", columns, rows, folded=len(rows) > MOST_OPEN)


def _speeds(group: Group) -> list[float]:
    speeds = [run.summary.get("updates_per_second") for run in group.runs]
    return [float(speed) for speed in speeds if isinstance(speed, int | float)]


def _median(values: Sequence[float]) -> float | None:
    return statistics.median(values) if values else None
