"""The table of a study's runs with their states."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from cocoa.studies.plan import PlannedRun
from cocoa.studies.states import State


def table(study: Path, runs: Sequence[PlannedRun]) -> str:
    """Return a line for each run, why those failed that did, and how many are in each state."""
    runs = list({planned.name: planned for planned in runs}.values())
    states = [planned.state(study) for planned in runs]
    rows = [
        ("dataset", "method", "run", "state", "updates", "score"),
        *(
            (
                planned.dataset,
                planned.method,
                planned.name,
                state.word,
                f"{state.updates:,} / {planned.updates:,}",
                _score(state),
            )
            for planned, state in zip(runs, states, strict=True)
        ),
    ]
    counts = Counter(state.word for state in states)
    total = ", ".join(f"{count} {word}" for word, count in counts.items())
    failed = [planned for planned, state in zip(runs, states, strict=True) if state.word == "failed"]
    why = [f"{planned.name} failed: {planned.failure(study)}" for planned in failed]
    return "\n".join([*aligned(rows), "", *why, f"Runs: {total}"])


def _score(state: State) -> str:
    for unit in ("score", "return"):
        block = state.summary.get(unit)
        if block and block["mean"] is not None:
            return f"{block['mean']:.1f}" if unit == "score" else f"return {block['mean']:.1f}"
    return ""


def aligned(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    """Yield the lines of a table whose columns are as wide as their widest cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
