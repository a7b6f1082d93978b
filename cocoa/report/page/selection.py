"""Selection without an environment: estimates from recorded data beside true returns."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from cocoa.report.page.rendering import Chart
from cocoa.report.page.styles import MOST_CHARTS, Lines, panel
from cocoa.report.page.tables import Cell, Section, Table, number
from cocoa.selection.comparison import KS, LABELS, Comparison


def selection(found: Sequence[Comparison]) -> Section | None:
    """Return the section, or None if no policy has estimates."""
    if not found:
        return None
    lines = Lines([policy.method for one in found for policy in one.candidates])
    text = [
        "How estimates that need no environment rank the policies on a dataset: all methods, settings and "
        "seeds. A correlation of 1 is the true order. Regret is by how much the best return of the first "
        "policies is below the best of all.",
    ]
    if len(found) > MOST_CHARTS:
        text.append(f"The first {MOST_CHARTS} of {len(found)} sets of policies are drawn.")
    charts = list(_charts(found[:MOST_CHARTS], lines))
    title = "Selection without an environment"
    return Section("selection", title, text, key=lines.keys(), charts=charts, tables=[_table(found)])


def _table(found: Sequence[Comparison]) -> Table:
    rows = [
        [
            Cell(one.dataset),
            Cell(LABELS[agreement.estimate]),
            number(agreement.policies, "d"),
            # Without a number where all estimates or all returns are equal.
            number(None if math.isnan(agreement.spearman) else agreement.spearman, ".2f"),
            *(number(regret) for regret in agreement.regret),
            *(number(100 * share, ".0f") for share in agreement.best),
        ]
        for one in found
        for agreement in one.agreements()
    ]
    measures = (*(f"regret at {k}" for k in KS), *(f"best {k} found (%)" for k in KS))
    columns = ("dataset", "estimate", "policies", "Spearman", *measures)
    return Table("Ranks of policies by estimates", columns, rows)


def _charts(found: Sequence[Comparison], lines: Lines) -> Iterator[Chart]:
    for one in found:
        figure, axes = panel()
        for method in dict.fromkeys(policy.method for policy in one.candidates):
            own = [policy for policy in one.candidates if policy.method == method]
            filled = lines.color(method) if "+cocoa" in method else "none"
            style = {"color": lines.color(method), "markerfacecolor": filled, "markersize": 5}
            axes.plot([p.value for p in own], [p.estimates["fqe"] for p in own], "o", **style)
        axes.set_xlabel("true return")
        axes.set_ylabel("fitted Q evaluation")
        settings = ", ".join(f"{name} {value}" for name, value in one.settings.items())
        yield Chart(one.dataset, f"Hollow: plain. Filled: +COCOA. Fitted with {settings}.", figure)
