"""A dataset's statistics as text for a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from cocoa.data.inspection import Column, Inspection, Spread
from cocoa.errors import shown

_HEADER = ("", "lowest", "1 %", "median", "mean", "99 %", "highest")
_MOST = 64  # dimensions in the table


def summary(inspection: Inspection, problems: Sequence[str], width: int) -> str:
    """Return statistics and problems in lines that are at most `width` characters wide, tables apart."""
    lines = [shown(inspection.name), ""]
    lines += [f"{name:<14}{value}" for name, value in facts(inspection).items()]
    lines += ["", *_table(inspection), ""]
    lines.append("Problems" if problems else "No problems were found.")
    for problem in problems:
        lines += textwrap.wrap(problem, width, initial_indent="- ", subsequent_indent="  ")
    return "\n".join(lines)


def facts(inspection: Inspection) -> dict[str, str]:
    """Return what is true of the whole dataset, by name."""
    ends, sizes = inspection.ends, (len(inspection.observations), len(inspection.actions))
    values = {
        "environment": inspection.env or "not known",
        "transitions": f"{inspection.transitions:,}, {sizes[0]} observations and {sizes[1]} actions in each",
        "episodes": f"{inspection.episodes:,}: {ends.terminal:,} end at a terminal, {ends.time_limit:,} at a "
        f"time limit, {ends.cut:,} are cut",
        "repeated": f"{inspection.repeated:,} transitions are equal to an earlier one",
        "coverage": f"{inspection.components} of {sizes[0]} principal components hold 95 % of the variance",
        "SHA-256": inspection.sha256,
    }
    if inspection.behaviour_return != inspection.returns.mean:
        values["mean return"] = (
            f"{inspection.behaviour_return:.6g} of the complete episodes, as runs report it; the table "
            "counts all"
        )
    if inspection.references:
        low, high = inspection.references
        values["scores"] = f"a return of {low:.6g} scores 0 %, one of {high:.6g} 100 %"
    if inspection.validation is not None:
        values["validation"] = f"{inspection.validation:,} more transitions are held out"
    return values


def _table(inspection: Inspection) -> list[str]:
    rows: list[tuple[str, ...]] = [_HEADER, _row("return", inspection.returns)]
    if inspection.scores:
        rows.append(_row("score (%)", inspection.scores))
    rows += [_row("length", inspection.lengths), _row("reward", inspection.rewards)]
    for kind, columns in (("observation", inspection.observations), ("action", inspection.actions)):
        rows += [_row(f"{kind} {i}", column.spread, note(column)) for i, column in enumerate(columns[:_MOST])]
        if len(columns) > _MOST:
            rows.append((f"... and {len(columns) - _MOST} more; --json has all",))
    widths = [max(len(row[i]) for row in rows if len(row) > 1) for i in range(len(_HEADER))]
    return [
        "  ".join(
            [
                row[0].ljust(widths[0]),
                *(f"{number:>{width}}" for number, width in zip(row[1:7], widths[1:], strict=False)),
                *row[7:],
            ]
        ).rstrip()
        for row in rows
    ]


def _row(name: str, spread: Spread, *notes: str) -> tuple[str, ...]:
    numbers = (spread.low, spread.lower, spread.median, spread.mean, spread.upper, spread.high)
    return (name, *(f"{number:.4g}" for number in numbers), *notes)


def note(column: Column) -> str:
    """Return what is special about a dimension in a few words, or an empty text."""
    parts = ["constant"] if column.constant else []
    if column.same_as is not None:
        parts.append(f"equal to {column.same_as}")
    if column.at_low is not None and column.at_high is not None and column.at_low + column.at_high >= 0.001:
        parts.append(
            f"{100 * column.at_low:.1f} % at the lower bound, {100 * column.at_high:.1f} % at the upper"
        )
    return ", ".join(parts)
