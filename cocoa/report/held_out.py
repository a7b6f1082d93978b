"""The held-out losses of finished runs in which no policy was evaluated."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from cocoa.errors import RunError, shown
from cocoa.report.markdown import table
from cocoa.runs.places import method_name
from cocoa.runs.summary import read_summary


@dataclass(frozen=True)
class HeldOut:
    """A held-out loss of a run, the mean over seeds after the last update."""

    dataset: str
    method: str
    updates: int
    seeds: int
    loss: str
    mean: float
    """NaN if a seed has diverged."""
    folder: Path


def held_out(folders: Iterable[Path]) -> list[HeldOut]:
    """Return the held-out losses of the runs in `folders`: the metrics whose names end with `loss`.

    A run that is not finished, was evaluated, or has a damaged summary has none.
    """
    return [loss for folder in folders for loss in _losses(folder)]


def markdown(losses: Sequence[HeldOut]) -> str:
    """Return the losses as a Markdown table."""
    header = ("dataset", "method", "updates", "seeds", "held-out loss", "mean", "run")
    rows = (
        (
            *(loss.dataset, loss.method, f"{loss.updates:,}", str(loss.seeds)),
            *(loss.loss, f"{loss.mean:.4g}", shown(loss.folder, 1000)),
        )
        for loss in losses
    )
    return table(header, rows)


def _losses(folder: Path) -> Sequence[HeldOut]:
    try:
        summary = read_summary(folder)
        if summary["status"] != "finished" or summary["return"] is not None:
            return []
        return list(_read(folder, summary))
    except (RunError, KeyError, TypeError, ValueError, AttributeError):
        return []


def _read(folder: Path, summary: Mapping[str, Any]) -> Iterator[HeldOut]:
    method = method_name(str(summary["algo"]).rpartition(":")[2], summary["cocoa"])
    dataset = shown(PurePath(summary["dataset"]).stem)
    for name, block in summary["held_out"].items():
        if name.endswith("loss"):
            updates, seeds = int(summary["updates"]), len(summary["seeds"])
            yield HeldOut(dataset, shown(method), updates, seeds, shown(name), _mean(block), folder)


def _mean(block: Mapping[str, Any]) -> float:
    """Return the mean over seeds; NaN if one has diverged, which the summary tells as null."""
    return float(np.mean([math.nan if value is None else float(value) for value in block["per_seed"]]))
