"""All runs of a report: those in its numbers, and the others with the reason."""

from __future__ import annotations

from collections.abc import Sequence

from cocoa.errors import shown
from cocoa.report.groups import Group
from cocoa.report.held_out import HeldOut
from cocoa.report.page.tables import MOST_OPEN, Cell, Section, Table, number
from cocoa.report.unfinished import Unfinished


def listing(groups: Sequence[Group], others: Sequence[Unfinished]) -> Section:
    """Return the section."""
    tables = [_others(others)] if others else []
    if groups:
        tables.append(_finished(groups))
    return Section("runs", "Runs", tables=tables)


def held_out(losses: Sequence[HeldOut]) -> Section | None:
    """Return the section of finished runs without an evaluation, or None if there are none."""
    if not losses:
        return None
    rows = [
        [
            *(Cell(loss.dataset), Cell(loss.method), number(loss.updates, ",d"), number(loss.seeds, "d")),
            *(Cell(loss.loss), number(loss.mean, ".4g"), Cell(shown(loss.folder, 1000), kind="long")),
        ]
        for loss in losses
    ]
    columns = ("dataset", "method", "updates", "seeds", "held-out loss", "mean", "run")
    table = Table("Losses on held-out transitions after the last update, means over seeds", columns, rows)
    return Section("held-out", "Runs without an evaluation", tables=[table])


def _others(others: Sequence[Unfinished]) -> Table:
    rows = [
        [
            *(Cell(text) for text in (run.state, run.dataset, run.method)),
            Cell(f"{run.updates:,} / {run.total or 0:,}" if run.total else f"{run.updates:,}", run.updates),
            number(run.score),
            Cell(run.why, kind="long"),
            Cell(run.name, kind="long"),
        ]
        for run in others
    ]
    columns = ("state", "dataset", "method", "updates", "score so far", "why it is not in the numbers", "run")
    return Table("Runs that are not in the numbers", columns, rows)


def _finished(groups: Sequence[Group]) -> Table:
    rows = [
        [
            Cell(group.dataset),
            Cell(group.label),
            Cell(", ".join(map(str, run.seeds[:10])) + (", ..." if len(run.seeds) > 10 else "")),
            number(run.updates, ",d"),
            number(sum(run.last(i) for i in range(len(run.seeds))) / len(run.seeds)),
            Cell(shown(run.folder, 1000), kind="long"),
        ]
        for group in groups
        for run in group.runs
    ]
    columns = ("dataset", "method", "seeds", "updates", "last: mean", "run")
    return Table("Finished runs", columns, rows, folded=len(rows) > MOST_OPEN)
