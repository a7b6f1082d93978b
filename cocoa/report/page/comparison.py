"""Plain algorithms against +COCOA: the verdict in words, the differences, and the performance profiles."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from matplotlib.lines import Line2D

from cocoa.report.comparison import Comparison, Measure
from cocoa.report.page.rendering import INK, Chart
from cocoa.report.page.styles import PLAIN, WRAPPED, panel
from cocoa.report.page.tables import MOST_OPEN, Cell, Key, Section, Table, interval, number
from cocoa.report.verdict import verdict
from cocoa.statistics.bootstrap import Estimate

_MOST_DRAWN = 6
"""Comparisons, of which tuned hyperparameters may make many."""
_MOST_ROWS = 40
"""Datasets in a figure of differences."""


def comparison(comparisons: Sequence[Comparison], verdicts: Sequence[str]) -> Section:
    """Return the section."""
    title = "Plain against +COCOA"
    if not comparisons:
        reason = "No algorithm has finished runs with and without COCOA on the same data."
        return Section("comparison", title, [reason])
    return Section(
        "comparison",
        title,
        [
            "IQM is the interquartile mean over seeds (and datasets) of the last evaluation. Intervals are "
            "of 95 %. A difference is bold if its interval excludes zero.",
            *_note_on_figures(comparisons),
        ],
        verdict=verdicts,
        problems=list(_also_different(comparisons)),
        charts=[_differences(one) for one in comparisons[:_MOST_DRAWN]],
        tables=_tables(comparisons, ("plain", "+COCOA")),
    )


def _note_on_figures(comparisons: Sequence[Comparison]) -> list[str]:
    count = len(comparisons)
    return [f"The first {_MOST_DRAWN} of {count} comparisons are drawn."] if count > _MOST_DRAWN else []


def chosen(one: Comparison | None, effect: float | None) -> Section | None:
    """Return the section of a comparison that was asked for, or None if there is none."""
    if one is None:
        return None
    return Section(
        "chosen",
        f"{one.method} against {one.baseline}",
        verdict=[verdict(one, effect)],
        charts=[_differences(one)],
        tables=_tables([one], (one.baseline, one.method)),
    )


def profiles(comparisons: Sequence[Comparison]) -> Section | None:
    """Return the section of performance profiles, or None without normalized scores."""
    charts = [chart for one in comparisons[:_MOST_DRAWN] for chart in _profiles(one)]
    if not charts:
        return None
    return Section(
        "profiles",
        "Performance profiles",
        [
            "The share of seeds whose last evaluation is above each score, and 95 % bands: higher is better.",
            *_note_on_figures(comparisons),
        ],
        key=[Key("plain", PLAIN, "6 3"), Key("+COCOA", WRAPPED)],
        charts=charts,
    )


def _also_different(comparisons: Sequence[Comparison]) -> Iterator[str]:
    for one in comparisons:
        for row in one.rows:
            if row.changed:
                pair = f"{one.method} and {one.baseline}"
                yield f"{pair} differ on {row.dataset} in other settings, too: {', '.join(row.changed)}."


def _tables(comparisons: Sequence[Comparison], names: tuple[str, str]) -> list[Table]:
    """Return the tables of comparisons; `names` are the columns of baseline and method."""
    tables = (_aggregates(comparisons, names), _by_dataset(comparisons, names))
    return [table for table in tables if table.rows]


def _aggregates(comparisons: Sequence[Comparison], names: tuple[str, str]) -> Table:
    """Return a table with a row for each comparison and aggregate, where there are datasets to pool."""
    rows = []
    for one in comparisons:
        if len(one.scored) > 1:
            measures = one.measures.items()
            rows += [[Cell(one.method), Cell(name), *_measure(measure)] for name, measure in measures]
        if one.improvement is not None:
            probability = (number(None), _estimate(one.improvement, ".2f"), number(None))
            rows.append([Cell(one.method), Cell("probability of improvement"), *probability])
    columns = ("method", "aggregate", *names, "difference")
    return Table("Over datasets with scores", columns, rows, folded=len(rows) > MOST_OPEN)


def _by_dataset(comparisons: Sequence[Comparison], names: tuple[str, str]) -> Table:
    rows = [
        [
            *(Cell(text) for text in (row.dataset, one.method, row.unit)),
            *_measure(row.measure),
            _seeds(len(row.baseline.seeds), len(row.method.seeds)),
            Cell("yes" if row.paired else "no"),
        ]
        for one in comparisons
        for row in one.rows
    ]
    columns = ("dataset", "method", "unit", *names, "difference", "seeds", "paired")
    return Table("IQM by dataset and algorithm", columns, rows, folded=len(rows) > MOST_OPEN)


def _seeds(plain: int, wrapped: int) -> Cell:
    return Cell(str(plain) if plain == wrapped else f"{plain} and {wrapped}", plain)


def _measure(measure: Measure) -> list[Cell]:
    difference = measure.difference
    kind = "best" if difference.sign else ""
    return [
        _estimate(measure.baseline),
        _estimate(measure.method),
        interval(*difference.estimate, form="+.1f", kind=kind),
    ]


def _estimate(estimate: Estimate, form: str = ".1f") -> Cell:
    return interval(*estimate, form=form)


def _differences(one: Comparison) -> Chart:
    """Draw the difference on each dataset, and over all, with intervals."""
    entries = [(row.dataset, row.measure.difference) for row in one.rows[:_MOST_ROWS]]
    if len(one.scored) > 1:
        entries.append(("all datasets", one.measures["IQM"].difference))
    figure, axes = panel(0.9 + 0.28 * len(entries), long_labels=True)
    for place, (_, difference) in enumerate(entries):
        value, low, high = difference.estimate
        color = WRAPPED if difference.sign > 0 else PLAIN if difference.sign < 0 else "#8a8a8a"
        if math.isfinite(low) and math.isfinite(high):
            axes.add_line(Line2D((low, high), (place, place), color=color, linewidth=2))
        if math.isfinite(value):
            axes.plot([value], [place], "o", color=color, markersize=6)
    axes.axvline(0, color=INK, linewidth=0.8)
    axes.set_yticks(
        range(len(entries)), [name if len(name) < 30 else f"{name[:27]}..." for name, _ in entries]
    )
    axes.set_ylim(len(entries) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)
    units = {row.unit for row in one.rows}
    axes.set_xlabel("difference of IQM" + (" (score, %)" if units == {"score"} else ""))
    axes.autoscale_view(scaley=False)
    more = f" The first {_MOST_ROWS} of {len(one.rows)} datasets." if len(one.rows) > _MOST_ROWS else ""
    caption = f"Right of zero {one.method} is better; grey: the interval has zero in it.{more}"
    return Chart(f"{one.method} minus {one.baseline}", caption, figure)


def _profiles(one: Comparison) -> Iterator[Chart]:
    found = one.profiles()
    if found is None:
        return
    figure, axes = panel()
    for profile, color, line in zip(found, (PLAIN, WRAPPED), ((0, (4, 2)), "-"), strict=True):
        axes.plot(profile.thresholds, profile.value, color=color, linestyle=line, linewidth=1.6)
        axes.fill_between(profile.thresholds, profile.low, profile.high, color=color, alpha=0.15, linewidth=0)
    axes.set_xlabel("score (%)")
    axes.set_ylabel("share of seeds above")
    axes.set_ylim(-0.02, 1.02)
    count = len(one.scored)
    yield Chart(
        f"{one.method} and {one.baseline}", f"Over {count} dataset{'s' if count > 1 else ''}.", figure
    )
