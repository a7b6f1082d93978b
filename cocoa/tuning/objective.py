"""What a search maximizes: the interquartile mean over seeds of a run's evaluations or estimates."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from cocoa.errors import ConfigError, RunError
from cocoa.runs.metrics import read_metrics
from cocoa.runs.summary import read_summary, verdict
from cocoa.statistics.aggregates import iqm


def unit_of(folder: Path) -> str:
    """Return `score` if the evaluations of the run in a folder have normalized scores, else `return`."""
    scored = read_metrics(folder / "metrics.csv").seeds("evaluation/score")
    return "score" if scored else "return"


def evaluations(folder: Path) -> dict[int, float]:
    """Return the interquartile mean over seeds of the scores, or else the returns, by update.

    It is NaN where a seed's is not finite. Raises RunError if the metrics are missing or damaged.
    """
    steps, values = read_metrics(folder / "metrics.csv").values(f"evaluation/{unit_of(folder)}")
    return {step: _iqm(seeds) for step, seeds in zip(steps.tolist(), values.T, strict=True)}


def _iqm(seeds: np.ndarray) -> float:
    return float(iqm([seeds])) if np.isfinite(seeds).all() else math.nan


def value_of(folder: Path, updates: int) -> float:
    """Return the value of the finished run in a folder: that of its last evaluation, never of the best.

    Raises RunError, in words, if the training diverged; ConfigError if nothing was evaluated, as then no
    trial will be.
    """
    value = evaluations(folder).get(updates)
    if value is None:
        raise ConfigError(
            f"{folder} was not evaluated after its last update, and so has no score to search by: no "
            "environment is known. Name one with env=, or search with objective=fqe."
        )
    summary = read_summary(folder)
    if not math.isfinite(value) or summary.get("nonfinite_episodes"):
        raise RunError(verdict(summary))
    return value


def estimate_of(folder: Path) -> float:
    """Return what fitted Q evaluation estimates of the last policies of the finished run in a folder.

    It is the discounted return from the first states of the held-out episodes (`cocoa.selection`). Raises
    RunError if it is not finite, and the errors of `select_run`.
    """
    from cocoa.selection.select import select_run  # slow to import

    estimate = _iqm(np.array(select_run(folder, trust=True)["fqe"]["per_seed"], float))
    if not math.isfinite(estimate):
        raise RunError("The estimate of fitted Q evaluation is not finite: the training diverged.")
    return estimate
