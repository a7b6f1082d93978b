"""The tables of a run that dashboards show: columns, and rows of plain values."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cocoa.errors import RunError
from cocoa.runs.episodes import read_episodes
from cocoa.runs.metrics import read_metrics

Table = tuple[list[str], list[list[Any]]]


def measurements(values: Mapping[str, float]) -> Table:
    """Return a row for each number that was measured once, by its name: <what>/<measure>."""
    rows = [[*name.rpartition("/")[::2], value] for name, value in values.items()]
    return ["what", "measure", "value"], rows


def evaluations(folder: Path, seeds: Sequence[int]) -> Table:
    """Return a row for each evaluation of the run in `folder`: means over these seeds and their episodes.

    `std` is the standard deviation of the returns. The files of the run are read, so that evaluations from
    before a resumption are there; without any, there are no rows.
    """
    columns = ["update", "score", "return", "std", "length", "success", "episodes"]
    scores: dict[int, float] = {}
    episodes: dict[int, dict[int, np.ndarray]] = {}
    with contextlib.suppress(RunError):
        episodes = read_episodes(folder / "episodes.csv")
        metrics = read_metrics(folder / "metrics.csv")
        steps, values = metrics.values("evaluation/score")
        rows = [row for row, seed in enumerate(metrics.seeds("evaluation/score")) if seed in seeds]
        scores = dict(zip(steps.tolist(), values[rows].mean(axis=0).tolist(), strict=True)) if rows else {}
    table = []
    for step, by_seed in episodes.items():
        played = np.concatenate([by_seed[seed] for seed in seeds if seed in by_seed])
        returns, lengths, successes = played.T
        success = None if np.isnan(successes).all() else 100 * float(np.nanmean(successes))
        row = [step, scores.get(step), returns.mean(), returns.std(), lengths.mean()]
        table.append([*(x if x is None else float(x) for x in row), success, len(played)])
    return columns, [[int(row[0]), *row[1:]] for row in table]
