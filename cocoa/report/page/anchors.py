"""Whether anchors are nearer to the data than their states, on the data and off it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from matplotlib.lines import Line2D

from cocoa.anchors.diagnostics import MEASURES
from cocoa.report.groups import Group
from cocoa.report.page.rendering import Chart
from cocoa.report.page.styles import COLORS, MOST_CHARTS, panel
from cocoa.report.page.tables import MOST_OPEN, Cell, Key, Section, Table, names, number

_STATE, _ANCHOR = COLORS[6], COLORS[1]


@dataclass(frozen=True)
class _Anchors:
    """The diagnostics that several methods on a dataset share."""

    dataset: str
    labels: list[str]
    states: dict[str, dict[str, float]]
    """{group of states: {measure: value}}."""


def anchors(groups: Sequence[Group]) -> Section | None:
    """Return the section, or None if no run has anchors."""
    found = _distinct(groups)
    if not found:
        return None
    text = [
        "Distances in standard deviations of the data, medians over states: NN(s) and NN(anchor) from a "
        "state and from its anchor to the nearest state of the data, NN(Δ) from their difference Δ to the "
        "nearest difference of the data. Means over the seeds and runs of a row.",
        "States: data held out from the reference, the same with noise of 0.1, 0.3 and 1 standard "
        "deviations, and those that random actions visit.",
        *_sentences(found),
    ]
    if len(found) > MOST_CHARTS:
        text.append(f"The first {MOST_CHARTS} of {len(found)} sets of anchors are drawn.")
    key = [Key("state", _STATE), Key("its anchor", _ANCHOR)]
    return Section("anchors", "Anchors", text, key=key, charts=list(_charts(found)), tables=[_table(found)])


def _distinct(groups: Sequence[Group]) -> list[_Anchors]:
    """Return the anchors of all groups, each once: those of one dataset are often shared by algorithms."""
    found: list[_Anchors] = []
    for group in groups:
        states = _states(group)
        same = next((one for one in found if one.dataset == group.dataset and one.states == states), None)
        if same:
            same.labels.append(group.label)
        elif states:
            found.append(_Anchors(group.dataset, [group.label], states))
    return found


def _states(group: Group) -> dict[str, dict[str, float]]:
    """Return the means over a group's runs: {group of states: {measure: value}}."""
    runs = [run.anchors for run in group.runs if run.anchors]
    states: dict[str, dict[str, float]] = {}
    for name in runs[0] if runs else ():
        _, _, rest = name.partition("/")
        states_of, _, measure = rest.rpartition("/")
        values = [run[name] for run in runs if name in run]
        states.setdefault(states_of, {})[measure] = sum(values) / len(values)
    return states


def _sentences(found: Sequence[_Anchors]) -> Iterator[str]:
    """Yield what anchors do with states off the data, in words."""
    ratios = [
        measured["nn_anchor"] / measured["nn_state"]
        for one in found
        for name, measured in one.states.items()
        if name in ("perturbed-1.0", "random-policy") and measured.get("nn_state") and "nn_anchor" in measured
    ]
    if ratios:
        middle = sorted(ratios)[len(ratios) // 2]
        where = "nearer to" if middle < 0.98 else "farther from" if middle > 1.02 else "as far from"
        size = f"{abs(1 - middle):.0%} ".replace("%", " %") if where != "as far from" else ""
        tail = "than" if where != "as far from" else "as"
        yield (
            f"Off the data (noise of 1, or random actions) anchors are {size}{where} the data {tail} their "
            f"states, in the median of {len(ratios)} sets of states."
        )


def _table(found: Sequence[_Anchors]) -> Table:
    columns = ("dataset", "methods", "states", *MEASURES.values(), "nearer than s (%)")
    rows = [
        [
            Cell(one.dataset),
            names(one.labels),
            Cell(states),
            *(number(measured.get(name), ".2f") for name in MEASURES),
            number(measured.get("nearer"), ".0f"),
        ]
        for one in found
        for states, measured in one.states.items()
    ]
    return Table("Distances of states and anchors to the data", columns, rows, folded=len(rows) > MOST_OPEN)


def _charts(found: Sequence[_Anchors]) -> Iterator[Chart]:
    for one in found[:MOST_CHARTS]:
        figure, axes = panel(2.5)
        drawn = {name: m for name, m in one.states.items() if _finite(m)}
        for place, measured in enumerate(drawn.values()):
            x, y = (place, place), (measured["nn_state"], measured["nn_anchor"])
            axes.add_line(Line2D(x, y, color=_ANCHOR, linewidth=1.5, alpha=0.6))
        for measure, color in (("nn_state", _STATE), ("nn_anchor", _ANCHOR)):
            heights = [measured[measure] for measured in drawn.values()]
            axes.plot(range(len(drawn)), heights, "o", color=color, markersize=6)
        axes.set_xticks(range(len(drawn)), [name.replace("-", "\n", 1) for name in drawn])
        axes.set_xlim(-0.5, max(len(drawn), 1) - 0.5)
        axes.set_ylim(bottom=0)
        axes.set_ylabel("distance to the data")
        axes.grid(axis="x", visible=False)
        yield Chart(one.dataset, names(one.labels, 4).text, figure)


def _finite(measured: Mapping[str, float]) -> bool:
    return all(math.isfinite(measured.get(name, math.nan)) for name in ("nn_state", "nn_anchor"))
