"""The summary of a run: its scores with intervals, and what they say in words."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cocoa.config.schema import Config
from cocoa.data import Dataset, normalized_score, whose_references
from cocoa.errors import RunError
from cocoa.runs.gains import gains
from cocoa.runs.metrics import Metrics
from cocoa.storage.files import atomic_write, read_regular, reason
from cocoa.training.faults import FAULTS, episodes

_LIMIT = 2**25
"""Bytes; the summary of 10,000 seeds has a twentieth of it."""


def interval(values: np.ndarray) -> list[float] | None:
    """Return the 95 % Student-t interval of the mean of `values` (seeds,); None for a single seed."""
    if len(values) < 2:
        return None
    from scipy.special import stdtrit  # slow to import, and not needed for a start

    half = stdtrit(len(values) - 1, 0.975) * values.std(ddof=1) / math.sqrt(len(values))
    return [float(values.mean() - half), float(values.mean() + half)]


def block(values: np.ndarray) -> dict[str, Any]:
    """Return mean, 95 % interval over seeds, and the values (seeds,) themselves."""
    return {"mean": float(values.mean()), "ci95": interval(values), "per_seed": [float(x) for x in values]}


def summarize(
    config: Config,
    dataset: Dataset,
    metrics: Metrics,
    status: str,
    *,
    seconds: Mapping[str, float],
    updates_per_second: float | None,
    extra: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the summary as a mapping for JSON; scores are null where there is no reference or evaluation.

    `score`, `return` and `success` (the rate in percent) are of the last evaluation, those that end in
    `_last10` the mean of the last ten; `nonfinite_episodes` is there if the last evaluation had any,
    `held_out`, the last metrics of held-out transitions, if some are held out; `online` is as in `gains`;
    `reference_returns` are the dataset's own; `extra` is added.
    """
    behaviour = dataset.behaviour_return
    return {
        "status": status,
        "dataset": config.dataset,
        "env": config.env,
        "algo": config.algo.name,
        "cocoa": config.variant,
        "name": config.name,
        "updates": config.updates,
        "length": config.length,
        "seeds": list(config.seeds),
        "evaluations": len(metrics.values("evaluation/return")[0]),
        **_evaluations(metrics, "score"),
        **_evaluations(metrics, "return"),
        **_evaluations(metrics, "success"),
        **_nonfinite(metrics),
        **_held_out(metrics),
        **gains(config, metrics, block),
        "behaviour_score": behaviour_score(config, dataset),
        "behaviour_return": behaviour,
        "reference_returns": dataset.reference_returns,
        "references": whose_references(config.env or dataset.name, dataset.reference_returns),
        "updates_per_second": updates_per_second,
        "seconds": dict(seconds),
        **extra,
        "dataset_sha256": dataset.sha256,
    }


def behaviour_score(config: Config, dataset: Dataset) -> float | None:
    """Return the normalized score of the data's mean return; None without reference returns."""
    task = config.env or dataset.name
    return normalized_score(task, dataset.behaviour_return, dataset.reference_returns)


def _evaluations(metrics: Metrics, name: str) -> dict[str, Any]:
    """Return the blocks of the last evaluation and of the last ten; None where the last has no such value."""
    at, values = metrics.values(f"evaluation/{name}")
    steps, _ = metrics.values("evaluation/return")
    if name == "success" and values.size:  # none in an evaluation that says nothing of it
        values, at = _with_zeros(values, np.isin(steps, at)), steps
    if values.size == 0 or at[-1] != steps[-1]:
        return {name: None, f"{name}_last10": None}
    return {name: block(values[:, -1]), f"{name}_last10": block(values[:, -10:].mean(axis=1))}


def _with_zeros(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Return `values` (seeds, K) where `known` (T,) is true, and zeros elsewhere, (seeds, T)."""
    filled = np.zeros((len(values), len(known)))
    filled[:, known] = values
    return filled


def _held_out(metrics: Metrics) -> dict[str, Any]:
    """Return the last metrics of held-out transitions; empty if there are none."""
    series = {name: metrics.values(f"held_out/{name}")[1] for name in metrics.held_out()}
    blocks = {name: block(values[:, -1]) for name, values in series.items() if values.size}
    return {"held_out": blocks} if blocks else {}


def _nonfinite(metrics: Metrics) -> dict[str, Any]:
    """Return how many episodes of the last evaluation had rewards, observations or actions that were not
    finite; empty if none had.
    """
    steps, _ = metrics.values("evaluation/return")
    counts = {}
    for name in (f"{kind}s" for kind in FAULTS):
        at, values = metrics.values(f"evaluation/nonfinite_{name}")
        if len(at) and at[-1] == steps[-1]:
            counts[name] = int(values[:, -1].sum())
    return {"nonfinite_episodes": counts} if counts else {}


def verdict(summary: Mapping[str, Any]) -> str:
    """Return a sentence that compares the policy with the data it learned from."""
    if summary["return"] is None:
        return f"Finished; no policy was evaluated.{_held_out_losses(summary)}"
    unit, block, behaviour = "score", summary["score"], summary["behaviour_score"]
    if block is None:
        unit, block, behaviour = "return", summary["return"], summary["behaviour_return"]
    mean = block["mean"]
    odd = summary.get("nonfinite_episodes", {})
    environment = {name: count for name, count in odd.items() if name != "actions"}
    if "actions" in odd or not (np.isfinite(mean) or environment):
        return f"Finished, but the policy's {unit} is {mean:.4g}: the training diverged."
    if environment:
        names, where = " and ".join(environment), episodes(sum(environment.values()))
        return (
            f"Finished, but the policy's {unit} of {mean:.4g} says little about it: {names} of the "
            f"environment were not finite in {where} of the last evaluation, though all actions before were."
        )
    if block["ci95"] is None:
        compared = "" if behaviour is None else f"; the data's mean is {behaviour:.1f}"
        return f"Finished: the policy's {unit} is {mean:.1f}, of one seed{compared}."
    low, high = block["ci95"]
    if behaviour is None:
        return f"Finished: the policy's {unit} is {mean:.1f} (95 % interval {low:.1f} to {high:.1f})."
    word = "beats" if low > behaviour else "is below" if high < behaviour else "does not clearly differ from"
    return (
        f"Finished: the policy's {unit} of {mean:.1f} (95 % interval {low:.1f} to {high:.1f}) {word} the "
        f"data's mean {unit} of {behaviour:.1f}."
    )


def _held_out_losses(summary: Mapping[str, Any]) -> str:
    losses = {name: x["mean"] for name, x in summary.get("held_out", {}).items() if name.endswith("loss")}
    numbers = ", ".join(f"{name} {mean:.4g}" for name, mean in losses.items())
    return f" Held out: {numbers}." if losses else ""


def write_summary(folder: Path, summary: Mapping[str, Any]) -> None:
    """Write summary.json; numbers that are not finite become null."""
    atomic_write(folder / "summary.json", json_bytes(summary))


def json_bytes(values: Mapping[str, Any]) -> bytes:
    """Return the content of a JSON file; numbers that are not finite become null."""
    return (json.dumps(_finite(values), indent=2) + "\n").encode()


def read_summary(folder: Path) -> dict[str, Any]:
    """Return the summary of a run. Raises RunError if it is missing or damaged."""
    path = folder / "summary.json"
    try:
        summary = json.loads(read_regular(path, _LIMIT).decode())
        if not isinstance(summary, dict):
            raise ValueError("it holds no summary")
    except (OSError, ValueError, RecursionError) as error:
        raise RunError(
            f"{path} cannot be read ({reason(error)}). It is written again when the run goes on."
        ) from error
    return summary


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value
