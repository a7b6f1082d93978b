"""What a run gained by its online stage: the scores before it, during it, and after it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from cocoa.config.schema import Config
from cocoa.runs.metrics import Metrics


def gains(config: Config, metrics: Metrics, block: Callable[[np.ndarray], Any]) -> dict[str, Any]:
    """Return the entry `online` of a summary; empty before the first evaluation of the online stage.

    It holds blocks of `before`, the last evaluation of the offline stage; `after`, the last one; `mean`, of
    all evaluations after `before`, which is the area below the curve divided by its length; and with scores
    `regret`, the mean of 1 - score / 100 over the same evaluations (Cal-QL, arXiv 2303.05479). `unit` says
    whether they are scores or returns. `block` summarizes the values (seeds,) of one of these.
    """
    unit = "score" if metrics.seeds("evaluation/score") else "return"
    steps, values = metrics.values(f"evaluation/{unit}")
    online = steps > config.updates
    if not online.any():
        return {}
    before, mean = values[:, steps == config.updates], values[:, online].mean(axis=1)
    entry = {
        "unit": unit,
        "before": block(before[:, 0]) if before.size else None,
        "after": block(values[:, -1]),
        "mean": block(mean),
    }
    return {"online": entry | ({"regret": block(1 - mean / 100)} if unit == "score" else {})}


def sentence(summary: Mapping[str, Any]) -> str:
    """Return the gain in words; empty if the summary has none."""
    if not (online := summary.get("online")):
        return ""
    before = f"from {online['before']['mean']:.1f} " if online["before"] else ""
    regret = f", regret {online['regret']['mean']:.2f}" if "regret" in online else ""
    return (
        f"Online, the {online['unit']} went {before}to {online['after']['mean']:.1f}; mean of this stage "
        f"{online['mean']['mean']:.1f}{regret}."
    )
