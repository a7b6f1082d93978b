"""What a comparison shows, in words and as text."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from cocoa.report.comparison import Comparison, Measure, Row
from cocoa.report.markdown import number, table
from cocoa.statistics.differences import MOST_SEEDS, Difference


def verdict(comparison: Comparison, effect: float | None = None) -> str:
    """Return what the comparison shows: a sentence on all normalized scores, or one on each dataset's
    returns.

    Where nothing can be concluded it says how many seeds per dataset would do, for a true difference as large
    as the one observed. With `effect` it says so of a true difference of this size in any case.
    """
    if not comparison.scored:
        return " ".join(row_verdict(row, effect) for row in comparison.rows)
    rows = comparison.scored
    sentence = _sentence(comparison.measures["IQM"].difference, rows, "IQM points", effect)
    if left_out := [row.dataset for row in comparison.rows if row.unit != "score"]:
        sentence += f" Returns are not in it: {', '.join(left_out)}."
    return sentence


def row_verdict(row: Row, effect: float | None = None) -> str:
    """Return what the comparison shows on one dataset."""
    unit = "IQM points" if row.unit == "score" else "in return (IQM)"
    return _sentence(row.measure.difference, [row], unit, effect)


def text(comparisons: Sequence[Comparison], effect: float | None = None) -> str:
    """Return the comparisons as Markdown: for each the verdict and a table of datasets and aggregates."""
    return "\n\n".join(_section(comparison, effect) for comparison in comparisons)


def _sentence(found: Difference, rows: Sequence[Row], unit: str, effect: float | None) -> str:
    baseline, method = rows[0].baseline.label, rows[0].method.label
    size, low, high = found.estimate
    where = _where(rows)
    if found.sign:
        word = "better" if found.sign > 0 else "worse"
        ends = sorted((abs(low), abs(high)))
        amount = f"{abs(size):.1f} [{ends[0]:.1f}, {ends[1]:.1f}] {unit}"
        conclusion = f"{method} is {word} than {baseline} by {amount} {where}."
    elif math.isnan(low):
        conclusion = f"No conclusion on {method} against {baseline}: {_why_no_interval(rows)}."
    else:
        conclusion = (
            f"No conclusion: {method} differs from {baseline} by {number(found.estimate, '+.1f')} "
            f"{unit} {where}. {_seeds_that_would_do(found, size, 'If this is the true difference')}"
        )
    if effect is not None and math.isfinite(found.deviation):
        conclusion += f" {_seeds_that_would_do(found, effect, f'If the true difference is {effect:g}')}"
    return conclusion + _diverged(rows)


def _seeds_that_would_do(found: Difference, effect: float, condition: str) -> str:
    needed = found.seeds_needed(effect)
    if needed is None:
        return f"{condition}, more than {MOST_SEEDS:,} seeds per dataset are needed to see it."
    return f"{condition}, about {needed} seeds per dataset would do (to see it in 8 of 10 studies)."


def _where(rows: Sequence[Row]) -> str:
    counts = sorted({len(group.seeds) for row in rows for group in (row.baseline, row.method)})
    seeds = f"{counts[0]} seeds" if len(counts) == 1 else f"{counts[0]} to {counts[-1]} seeds"
    return (
        f"over {len(rows)} datasets, {seeds} on each" if len(rows) > 1 else f"on {rows[0].dataset}, {seeds}"
    )


def _why_no_interval(rows: Sequence[Row]) -> str:
    single = [row.dataset for row in rows if min(len(row.baseline.seeds), len(row.method.seeds)) < 2]
    if single:
        return f"an interval needs two seeds of each method on each dataset, and {', '.join(single)} has one"
    return "too many seeds diverged"


def _diverged(rows: Sequence[Row]) -> str:
    """Return how many seeds have no finite score; an empty string if all have one."""
    sides = {
        rows[0].baseline.label: np.concatenate([row.baseline_values for row in rows]),
        rows[0].method.label: np.concatenate([row.method_values for row in rows]),
    }
    lost = {label: int((~np.isfinite(values)).sum()) for label, values in sides.items()}
    parts = [f"{count} of {len(sides[label])} seeds of {label}" for label, count in lost.items() if count]
    return f" Diverged, and counted as below every score: {' and '.join(parts)}." if parts else ""


def _section(comparison: Comparison, effect: float | None) -> str:
    rows = [(row.dataset, *_cells(row.measure), str(row.pairs or "-")) for row in comparison.rows]
    if comparison.improvement is not None and len(comparison.scored) > 1:
        rows += [(f"all: {name}", *_cells(found), "") for name, found in comparison.measures.items()]
        rows.append(("all: probability of improvement", "", number(comparison.improvement, ".2f"), "", ""))
    lines = [
        f"## {comparison.method} against {comparison.baseline}",
        "",
        verdict(comparison, effect),
        "",
        table(("dataset", comparison.baseline, comparison.method, "difference", "pairs"), rows),
    ]
    for row in comparison.rows:
        if row.changed:
            lines += ["", f"On {row.dataset} the two differ in {', '.join(row.changed)}, too."]
    return "\n".join(lines)


def _cells(measure: Measure) -> tuple[str, str, str]:
    change = number(measure.difference.estimate, "+.1f")
    return number(measure.baseline), number(measure.method), change
