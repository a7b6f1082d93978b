"""Tables and sections of a page, as plain values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from cocoa.report.page.rendering import Chart


@dataclass(frozen=True)
class Cell:
    """A cell of a table."""

    text: str
    value: float | None = None
    """What the column is sorted by; None: the text."""
    full: str = ""
    """What the text abbreviates, shown beside the pointer."""
    kind: str = ""
    """`best`, `long` for text that may be broken into lines, or empty."""


_DIVERGED = "diverged"
MOST_OPEN = 20
"""Rows of a table of details that is open at first."""


@dataclass(frozen=True)
class Table:
    """A table that a reader can sort and copy."""

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    folded: bool = False
    """Whether it is closed until the reader opens it."""

    def is_text(self, column: int) -> bool:
        """Return whether a column holds no numbers, and is aligned left."""
        return all(row[column].value is None for row in self.rows)


@dataclass(frozen=True)
class Key:
    """An entry of the legend that the figures of a section share."""

    label: str
    color: str
    dashes: str = ""
    """SVG's stroke-dasharray; empty for a solid line."""


@dataclass(frozen=True)
class Section:
    """A section of a page: sentences, figures with their legend, then tables."""

    name: str
    """Of its anchor in the page's address."""
    title: str
    text: Sequence[str] = ()
    verdict: Sequence[str] = ()
    problems: Sequence[str] = ()
    key: Sequence[Key] = ()
    charts: Sequence[Chart] = ()
    tables: Sequence[Table] = ()
    facts: dict[str, str] = field(default_factory=dict)
    facts_title: str = ""


def number(value: float | None, form: str = ",.1f") -> Cell:
    """Return a cell with a number; a dash where there is none, a word where it is not finite."""
    if value is None:
        return Cell("-", math.nan)
    return Cell(format(value, form), value) if math.isfinite(value) else Cell(_DIVERGED, math.nan)


def interval(value: float, low: float, high: float, form: str = ".1f", kind: str = "") -> Cell:
    """Return a cell with a number and its interval, which is left out if it is not known."""
    if not math.isfinite(value):
        return Cell(_DIVERGED, math.nan)
    ends = "" if math.isnan(low) or math.isnan(high) else f" [{low:{form}}, {high:{form}}]"
    return Cell(f"{value:{form}}{ends}".replace("inf", "∞"), value, kind=kind)


def names(labels: Sequence[str], most: int = 6) -> Cell:
    """Return a cell with several names, the first of them if they are many."""
    more = f" and {len(labels) - most} more" if len(labels) > most else ""
    return Cell(", ".join(labels[:most]) + more, full=", ".join(labels) if more else "", kind="long")
