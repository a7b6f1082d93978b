"""Policies with estimates from recorded data alone, beside their true returns."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cocoa.errors import RunError
from cocoa.report.groups import Group
from cocoa.report.runs import Run
from cocoa.runs.reevaluation import BLOCK
from cocoa.selection.comparison import Comparison, compare
from cocoa.selection.select import FILE


def selections(groups: Sequence[Group]) -> list[Comparison]:
    """Return the policies of each dataset whose runs have a selection.json, as `cocoa select` writes it.

    A run whose file is damaged is left out.
    """
    folders = [run.folder for group in groups for run in group.runs]
    return compare([folder for folder in folders if (folder / FILE).exists() and _is_readable(folder)])


def final_scores(run: Run) -> dict[int, float]:
    """Return the mean score or return of each seed's final evaluation; empty if there is none."""
    block: Any = run.summary.get(BLOCK)
    try:
        pairs = zip(block["seeds"], block[run.unit]["per_seed"], strict=True)
        return {int(seed): np.nan if x is None else float(x) for seed, x in pairs}
    except (KeyError, TypeError, ValueError):  # none, or damaged
        return {}


def _is_readable(folder: Path) -> bool:
    try:
        compare([folder])
    except RunError:
        return False
    return True
