"""The curves of a run, drawn from the files in its folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cocoa.runs.summary import read_summary


def redraw(folder: Path) -> None:
    """Draw the plots of a finished run again that are lost."""
    if (folder / "metrics.csv").exists():
        list(draw(folder, read_summary(folder), again=False))


def draw(folder: Path, summary: Mapping[str, Any], again: bool = True) -> Iterator[Path]:
    """Draw what there is to draw of a run; yield the PNGs. Unless `again`, those that are there stay."""
    from cocoa.runs.plots import held_out_curves, learning_curve  # slow to import, and not needed for a start

    if summary.get("return") is not None and (again or not (folder / "learning_curve.png").exists()):
        updates = summary["updates"] if "online" in summary else None
        yield learning_curve(folder, _behaviour(summary), updates)
    if "held_out" in summary and (again or not (folder / "held_out.png").exists()):
        yield held_out_curves(folder)


def _behaviour(summary: Mapping[str, Any]) -> float | None:
    return summary["behaviour_return"] if summary["score"] is None else summary["behaviour_score"]
