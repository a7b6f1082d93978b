"""The table of scores in Markdown."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cocoa.report.groups import Group
from cocoa.statistics.bootstrap import Estimate


def table(groups: Sequence[Group]) -> str:
    """Return a Markdown table: IQM over seeds with its 95 % bootstrap interval, last and mean of last ten.

    The IQM counts a diverged seed as minus infinity; the mean of a group that has one is nan.
    """
    lines = [
        "| dataset | method | updates | seeds | last: IQM | last: mean | last 10: IQM | data |",
        "|" + "---|" * 8,
    ]
    for group in groups:
        run, last = group.runs[0], group.last
        seeds = f"{len(last)} ({group.diverged} diverged)" if group.diverged else f"{len(last)}"
        data = "-" if np.isnan(run.behaviour) else f"{run.behaviour:.1f}"
        cells = (
            *(group.dataset, group.label, f"{run.updates:,}", seeds),
            *(_text(group.last_iqm), f"{last.mean():.1f}", _text(group.last_ten_iqm), data),
        )
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(lines)


def _text(iqm: Estimate) -> str:
    spread = "" if np.isnan(iqm.low) else f" [{iqm.low:.1f}, {iqm.high:.1f}]"
    return f"{iqm.value:.1f}{spread}"
