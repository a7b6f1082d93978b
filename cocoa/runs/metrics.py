"""The metrics of a run: one tidy CSV file, each number with its step and seed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cocoa.errors import RunError
from cocoa.runs.rows import RowsFile, lines_of, text_of
from cocoa.storage.files import read_regular

HEADER = "step,seed,metric,value\n"
_NO_NUMBERS = "OSUcmM"
"""Kinds of NumPy's types: objects, bytes, text, complex numbers, times."""


class MetricsFile(RowsFile):
    """Appends rows `step,seed,metric,value`; the seed is empty for metrics of the whole run."""

    header = HEADER

    def write(self, step: int, metrics: Mapping[str, Any], seeds: Sequence[int] | None) -> None:
        """Append numbers, and for each array (seeds,) a row per seed; true counts as 1.

        Raises ValueError for what could not be read back: another shape, a value that is not a number, a name
        with a comma or a line break.
        """
        rows = []
        for name, value in metrics.items():
            array = np.asarray(value)
            if array.dtype == bool:
                array = array.astype(int)
            if array.dtype.kind in _NO_NUMBERS:
                raise ValueError(f"metric {name} is {value!r:.80}: give a number, or one per seed")
            if any(mark in name for mark in ",\r\n"):
                raise ValueError(f"metric {name!r} has a comma or an end of line in its name")
            if array.ndim == 0:
                rows.append(f"{step},,{name},{text_of(array)}\n")
            elif seeds is not None and array.shape == (len(seeds),):
                rows += [f"{step},{seed},{name},{text_of(x)}\n" for seed, x in zip(seeds, array, strict=True)]
            else:
                raise ValueError(f"metric {name} has shape {array.shape}: give a number, or one per seed")
        self.append("".join(rows))


@dataclass(frozen=True)
class Metrics:
    """The content of a metrics file: {(metric, seed): [(step, value), ...]}, seed None for the whole run."""

    series: dict[tuple[str, int | None], list[tuple[int, float]]]

    def seeds(self, metric: str) -> list[int]:
        """Return the seeds that have this metric, in order of appearance."""
        return [seed for name, seed in self.series if name == metric and seed is not None]

    def held_out(self) -> list[str]:
        """Return the metrics of seeds that are logged of held-out transitions, without what precedes `/`."""
        names = (name.partition("/") for name, seed in self.series if seed is not None)
        return list(dict.fromkeys(metric for group, _, metric in names if group == "held_out"))

    def values(self, metric: str) -> tuple[np.ndarray, np.ndarray]:
        """Return steps (T,) and values (seeds, T) of a metric of seeds; empty if there is none.

        Steps at which a seed has no value are left out: the run may have been killed between two rows.
        """
        runs = [dict(self.series[metric, seed]) for seed in self.seeds(metric)]
        if not runs:
            return np.empty(0, int), np.empty((0, 0))
        steps = [step for step in runs[0] if all(step in run for run in runs)]
        return np.array(steps, int), np.array([[run[step] for step in steps] for run in runs])


def read_metrics(path: Path, prefixes: tuple[str, ...] = ("",)) -> Metrics:
    """Return the metrics in a file whose names begin with one of `prefixes`.

    Raises RunError, naming the line, if the file is missing or a line has not four parts, or if a number of
    these metrics cannot be read. A last line without a line break is left out: it is still being written, or
    the run was killed.
    """
    series: dict[tuple[str, int | None], list[tuple[int, float]]] = {}
    for number, line in enumerate(lines_of(path, HEADER), start=2):
        try:
            step, seed, metric, value = line.split(",")
            if metric.startswith(prefixes):
                entry = int(step), float(value)
                series.setdefault((metric, int(seed) if seed else None), []).append(entry)
        except ValueError as error:
            raise RunError(f"{path} is damaged in line {number}: {line[:80]!r}.") from error
    return Metrics(series)


def logged_behind(path: Path, position: int) -> frozenset[tuple[int, str]]:
    """Return (step, metric) of the rows behind `position` bytes of a metrics file; empty if it is unreadable.

    These are the rows that a run wrote after its last checkpoint, and writes again when it is resumed.
    """
    try:
        lines = read_regular(path)[position:].decode().split("\n")[:-1]
        rows = [line.split(",") for line in lines if line + "\n" != HEADER]
        return frozenset((int(step), metric) for step, _, metric, _ in rows)
    except (OSError, ValueError):
        return frozenset()


def by_seed(reports: list[dict[str, float]], prefix: str) -> dict[str, Any]:
    """Return numbers by name; arrays over seeds if there are several reports."""
    if len(reports) == 1:
        return {prefix + name: value for name, value in reports[0].items()}
    return {prefix + name: np.array([report[name] for report in reports]) for name in reports[0]}


def epochs_by_seed(histories: list[list[dict[str, float]]]) -> Iterator[dict[str, Any]]:
    """Yield each epoch's metrics: numbers, or arrays over seeds, NaN where a seed had stopped before."""
    if len(histories) == 1:
        yield from histories[0]
        return
    for epoch in range(max(map(len, histories))):
        names = next(history[epoch] for history in histories if epoch < len(history))
        yield {
            name: np.array([h[epoch][name] if epoch < len(h) else np.nan for h in histories])
            for name in names
        }
