"""How well estimates from recorded data alone rank the policies of a report."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cocoa.report.groups import Group
from cocoa.report.runs import Run
from cocoa.storage.files import read_regular

ESTIMATES = {
    "fqe": ("fitted Q evaluation", 1),
    "initial_value": ("own critics", 1),
    "td_error": ("TD error", -1),
}
"""The blocks of selection.json with their names in a report, and -1 where lower is better."""
_LIMIT = 2**25


@dataclass(frozen=True)
class Policies:
    """The policies on a dataset whose true scores and estimates are known."""

    dataset: str
    unit: str
    """`score` or `return`: that of `scores`."""
    labels: list[str] = field(default_factory=list)
    """The method of each policy."""
    scores: list[float] = field(default_factory=list)
    """Of the final evaluation where there is one, else of the last; NaN for one that diverged."""
    estimates: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in ESTIMATES})
    """By the names in `ESTIMATES`; NaN where a policy has none."""

    def known(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Return an estimate, higher is better, and the scores (policies,), of the policies that have it."""
        estimates = ESTIMATES[name][1] * np.array(self.estimates[name])
        has = ~np.isnan(estimates)
        return estimates[has], np.array(self.scores)[has]


def selections(groups: Sequence[Group]) -> list[Policies]:
    """Return the policies of each dataset that have a selection.json, as `cocoa select` writes it."""
    found: dict[str, Policies] = {}
    for group in groups:
        read = {id(run): _read(run) for run in group.runs}
        for seed, (run, place) in group.seeds.items():
            if seed not in read[id(run)]:
                continue
            policies = found.setdefault(group.dataset, Policies(group.dataset, run.unit))
            policies.labels.append(group.label)
            policies.scores.append(final_scores(run).get(seed, run.last(place)))
            for name in ESTIMATES:
                policies.estimates[name].append(read[id(run)][seed].get(name, np.nan))
    return list(found.values())


def final_scores(run: Run) -> dict[int, float]:
    """Return the mean score or return of each seed's final evaluation; empty if there is none."""
    return _by_seed(run.summary.get("final_evaluation"), run.unit)


def _read(run: Run) -> dict[int, dict[str, float]]:
    """Return the estimates of each seed of a run; empty if there are none, or of another update."""
    try:
        values = json.loads(read_regular(run.folder / "selection.json", _LIMIT))
        if values["step"] != run.summary.get("step", values["step"]):
            return {}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return {}
    estimates: dict[int, dict[str, float]] = defaultdict(dict)
    for name in ESTIMATES:
        for seed, value in _by_seed(values, name).items():
            estimates[seed][name] = value
    return estimates


def _by_seed(values: Any, name: str) -> dict[int, float]:
    """Return the numbers of a block {"seeds": [...], name: {"per_seed": [...]}} by seed; empty if damaged."""
    try:
        pairs = zip(values["seeds"], values[name]["per_seed"], strict=True)
        return {int(seed): np.nan if x is None else float(x) for seed, x in pairs}
    except (KeyError, TypeError, ValueError):
        return {}
