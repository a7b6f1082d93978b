"""Tables in Markdown, and estimates as their cells."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from cocoa.statistics.bootstrap import Estimate

_BAR = r"\|"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; a bar in a cell is escaped."""
    lines = [f"| {' | '.join(cell.replace('|', _BAR) for cell in cells)} |" for cells in (header, *rows)]
    return "\n".join([lines[0], "|" + "---|" * len(header), *lines[1:]])


def number(value: Estimate, form: str = ".1f") -> str:
    """Return an estimate with its interval, if it has one: `50.1 [47.0, 53.2]`, each number in this form."""
    ends = "" if math.isnan(value.low) else f" [{value.low:{form}}, {value.high:{form}}]"
    return f"{value.value:{form}}{ends}"
