"""A dataset's statistics and figures as one HTML page that needs nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

from cocoa.data.dataset import Dataset
from cocoa.data.inspection import Column, Inspection
from cocoa.errors import shown
from cocoa.report.dataset_figures import ENDS, charts, histograms
from cocoa.report.dataset_text import facts, note
from cocoa.report.page.rendering import STYLE, render
from cocoa.storage.files import atomic_write

_MOST = 200  # dimensions in a table


def write_page(path: Path, dataset: Dataset, inspection: Inspection, problems: Sequence[str]) -> None:
    """Write the page of a dataset.

    Raises RunError if it cannot be written, DataError without the extra `report`.
    """
    atomic_write(path, page(dataset, inspection, problems).encode())


def page(dataset: Dataset, inspection: Inspection, problems: Sequence[str]) -> str:
    """Return the page: statistics, `problems` as sentences, figures as SVG, a table of all dimensions."""
    with matplotlib.rc_context(STYLE):
        return render(
            "dataset.html",
            title=shown(inspection.name),
            subtitle=f"Dataset of {inspection.env or 'an environment that is not known'}",
            tiles=list(_tiles(inspection)),
            episodes=inspection.episodes,
            ends=_counts(inspection),
            colors=ENDS,
            problems=problems,
            charts=charts(dataset, inspection),
            dimensions=[
                _table("Observations", dataset.observations, inspection.observations),
                _table("Actions", dataset.actions, inspection.actions),
            ],
            facts=facts(inspection),
        )


def _tiles(inspection: Inspection) -> Iterator[tuple[str, str]]:
    yield "transitions", f"{inspection.transitions:,}"
    yield "episodes", f"{inspection.episodes:,}"
    yield "mean return", f"{inspection.returns.mean:,.4g}"
    if inspection.scores:
        yield "mean normalized score", f"{inspection.scores.mean:.1f} %"
    yield "highest return", f"{inspection.returns.high:,.4g}"
    yield "median length", f"{inspection.lengths.median:,.0f}"
    yield "numbers in an observation", f"{len(inspection.observations)}"
    yield "numbers in an action", f"{len(inspection.actions)}"


def _counts(inspection: Inspection) -> dict[str, int]:
    ends = inspection.ends
    return dict(zip(ENDS, (ends.terminal, ends.time_limit, ends.cut), strict=True))


def _table(title: str, matrix: np.ndarray, columns: Sequence[Column]) -> dict[str, Any]:
    """Return a table with a row for each dimension: its histogram and numbers."""
    columns = columns[:_MOST]
    shapes = histograms(matrix[:, : len(columns)])
    return {
        "title": title,
        "more": matrix.shape[1] if matrix.shape[1] > _MOST else None,
        "rows": [
            {
                "width": 5 * len(shape),
                "bars": _bars(shape),
                "numbers": _numbers(column),
                "note": note(column),
            }
            for column, shape in zip(columns, shapes, strict=True)
        ],
    }


def _numbers(column: Column) -> tuple[tuple[str, str], ...]:
    """Return for each number of a row whether it is left out on a narrow screen (`wide`), and its text."""
    x = column.spread
    return (
        ("", f"{x.low:.4g}"),
        ("wide", f"{x.lower:.4g}"),
        ("", f"{x.median:.4g}"),
        ("wide", f"{x.mean:.4g}"),
        ("wide", f"{x.upper:.4g}"),
        ("", f"{x.high:.4g}"),
        ("wide", f"{x.std:.3g}"),
    )


def _bars(heights: np.ndarray) -> str:
    """Return the path of a histogram of bars, 5 wide and at most 22 high."""
    return "".join(
        f"M{5 * place} 24v-{max(1.0, 22 * height):.1f}h4v{max(1.0, 22 * height):.1f}z"
        for place, height in enumerate(heights)
        if height > 0
    )
