"""Selection without an environment: estimates from recorded data beside true scores."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from cocoa.report.page.rendering import Chart
from cocoa.report.page.styles import MOST_CHARTS, Lines, panel
from cocoa.report.page.tables import Cell, Section, Table, number
from cocoa.report.selection import ESTIMATES, Policies
from cocoa.statistics.ranking import kendall, regret_at, spearman, top_share_at

_TOP = 3


def selection(found: Sequence[Policies]) -> Section | None:
    """Return the section, or None if no policy has estimates."""
    if not found:
        return None
    lines = Lines([label for policies in found for label in policies.labels])
    text = [
        "How estimates that need no environment rank the policies on a dataset: all methods, settings and "
        "seeds. A correlation of 1 is the true order. Regret is by how much the best of the first policies "
        "is below the best of all.",
    ]
    if len(found) > MOST_CHARTS:
        text.append(f"The first {MOST_CHARTS} of {len(found)} datasets are drawn.")
    charts = list(_charts(found[:MOST_CHARTS], lines))
    title = "Selection without an environment"
    return Section("selection", title, text, key=lines.keys(), charts=charts, tables=[_table(found)])


def _table(found: Sequence[Policies]) -> Table:
    rows = []
    for policies in found:
        for name, (title, _) in ESTIMATES.items():
            estimates, scores = policies.known(name)
            if len(estimates) > 1:
                correlations = (spearman(estimates, scores), kendall(estimates, scores))
                regrets = (regret_at(1, estimates, scores), regret_at(_TOP, estimates, scores))
                rows.append(
                    [
                        *(Cell(policies.dataset), Cell(title), number(len(estimates), "d")),
                        *(number(None if math.isnan(x) else x, ".2f") for x in correlations),
                        *(number(regret) for regret in regrets),
                        number(100 * top_share_at(_TOP, estimates, scores), ".0f"),
                    ]
                )
    columns = (
        *("dataset", "estimate", "policies", "Spearman", "Kendall"),
        *("regret at 1", f"regret at {_TOP}", f"best {_TOP} found (%)"),
    )
    return Table("Ranks of policies by estimates", columns, rows)


def _charts(found: Sequence[Policies], lines: Lines) -> Iterator[Chart]:
    for policies in found:
        figure, axes = panel()
        scores, estimates = np.array(policies.scores), np.array(policies.estimates["fqe"])
        for label in dict.fromkeys(policies.labels):
            own = np.array([other == label for other in policies.labels])
            filled = lines.color(label) if "+cocoa" in label else "none"
            style = {"color": lines.color(label), "markerfacecolor": filled, "markersize": 5}
            axes.plot(scores[own], estimates[own], "o", **style)
        axes.set_xlabel("true score (%)" if policies.unit == "score" else "true return")
        axes.set_ylabel("fitted Q evaluation")
        yield Chart(policies.dataset, "Hollow: plain. Filled: +COCOA.", figure)
