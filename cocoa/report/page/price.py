"""The price of tuning: how good the deployed policy is after some evaluations in the environment."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cocoa.report.deployment import LISTED, Price
from cocoa.report.page.rendering import Chart
from cocoa.report.page.styles import MOST_CHARTS, Lines, panel
from cocoa.report.page.tables import MOST_OPEN, Cell, Section, Table, interval, number
from cocoa.runs.plots import value_label


def price(prices: Sequence[Price]) -> Section | None:
    """Return the section, or None if there is no price to show."""
    if not prices:
        return None
    drawn = [one for one in prices if one.curves]
    lines = Lines([method for one in drawn for method in one.curves])
    text = [
        "The expected score of the policy that is deployed after some episodes in the environment. A bandit "
        "(UCB) spends them on choosing among the policies of a method: all its settings and seeds. Bands are "
        "95 % intervals.",
        *(
            f"{one.dataset}: {method} is left out: {why.rstrip('.')}."
            for one in prices
            for method, why in one.left_out.items()
        ),
    ]
    if len(drawn) > MOST_CHARTS:
        text.append(f"The first {MOST_CHARTS} of {len(drawn)} datasets are drawn.")
    charts = list(_charts(drawn[:MOST_CHARTS], lines))
    tables = [_table(drawn)] if drawn else []
    return Section("price", "The price of tuning", text, key=lines.keys(), charts=charts, tables=tables)


def _charts(prices: Sequence[Price], lines: Lines) -> Iterator[Chart]:
    for one in prices:
        figure, axes = panel()
        for method, curve in one.curves.items():
            color = lines.color(method)
            axes.plot(
                curve.evaluations, curve.score, color=color, linestyle=lines.line(method), linewidth=1.6
            )
            axes.fill_between(curve.evaluations, curve.low, curve.high, color=color, alpha=0.12, linewidth=0)
        axes.set_xscale("log")
        axes.set_xticks(LISTED, map(str, LISTED))
        axes.minorticks_off()
        axes.set_xlabel("evaluated episodes")
        axes.set_ylabel(value_label(one.unit))
        among = next(iter(one.curves.values())).among
        yield Chart(one.dataset, f"The choice is among {among} policies.", figure)


def _table(prices: Sequence[Price]) -> Table:
    rows = [
        [
            *(Cell(one.dataset), Cell(method), number(curve.policies, "d"), number(curve.among, "d")),
            *(interval(curve.score[n - 1], curve.low[n - 1], curve.high[n - 1]) for n in LISTED),
        ]
        for one in prices
        for method, curve in one.curves.items()
    ]
    columns = ("dataset", "method", "policies", "among", *map(str, LISTED))
    return Table("Expected score by evaluated episodes", columns, rows, folded=len(rows) > MOST_OPEN)
