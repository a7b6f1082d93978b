"""The held-out losses of finished runs in which no policy was evaluated."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from cocoa.errors import RunError, shown
from cocoa.runs.places import method_name
from cocoa.runs.summary import read_summary

_HEADER = "| dataset | method | updates | seeds | held-out loss | mean | run |\n" + "|---" * 7 + "|"


def held_out_table(folders: Iterable[Path]) -> tuple[str, set[Path]]:
    """Return a Markdown table with a row for each held-out loss of a run, and the runs that are in it.

    The losses are the metrics whose names end with `loss`, means over seeds after the last update. The table
    is empty if none of the folders holds such a run.
    """
    rows = {folder: _rows(folder) for folder in folders}
    lines = [line for lines in rows.values() for line in lines]
    return "\n".join([_HEADER, *lines]) if lines else "", {folder for folder in rows if rows[folder]}


def _rows(folder: Path) -> list[str]:
    """Return the rows of a run; none if it is not finished, was evaluated, or has a damaged summary."""
    try:
        summary = read_summary(folder)
        if summary["status"] != "finished" or summary["return"] is not None:
            return []
        method = method_name(str(summary["algo"]).rpartition(":")[2], summary["cocoa"])
        names = [shown(text) for text in (PurePath(summary["dataset"]).stem, method)]
        run = (*names, f"{summary['updates']:,}", str(len(summary["seeds"])))
        losses = {name: _mean(one) for name, one in summary["held_out"].items() if name.endswith("loss")}
    except (RunError, KeyError, TypeError, ValueError, AttributeError):
        return []
    cells = [(*run, shown(name), f"{mean:.4g}", shown(folder, 1000)) for name, mean in losses.items()]
    return [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in cells]


def _mean(block: Mapping[str, Any]) -> float:
    """Return the mean over seeds; NaN if one has diverged, which the summary tells as null."""
    return float(np.mean([math.nan if value is None else float(value) for value in block["per_seed"]]))
