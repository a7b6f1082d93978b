"""The policies of several runs, ranked by their estimates, and how well these agree with true returns."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from cocoa.errors import RunError, shown
from cocoa.runs.places import method_name
from cocoa.runs.reevaluation import BLOCK
from cocoa.runs.summary import read_summary
from cocoa.selection.select import ESTIMATES, read_selection
from cocoa.statistics.ranking import regret_at, spearman, top_share_at

LABELS = {"fqe": "FQE", "initial_value": "initial value", "td_error": "TD error"}
"""How tables call the estimates."""
_BETTER = {"fqe": 1, "initial_value": 1, "td_error": -1}
"""Whether a policy is better the higher (1) or the lower (-1) an estimate is."""
KS = (1, 3)
"""Numbers of policies that somebody could afford to evaluate."""


@dataclass(frozen=True)
class Candidate:
    """A policy that may be chosen: a seed of a run."""

    folder: Path
    method: str
    seed: int
    estimates: Mapping[str, float]
    """By name: NaN where there is none, infinite and the worst where it diverged."""
    value: float
    """The mean return of its final evaluation or else of its last one; NaN if it was not evaluated, minus
    infinity if it diverged."""


@dataclass(frozen=True)
class Agreement:
    """How well an estimate ranks the policies whose return is known."""

    estimate: str
    policies: int
    spearman: float
    regret: tuple[float, ...]
    """For each of `KS`, in the unit of the returns."""
    best: tuple[float, ...]
    """For each of `KS`: which share of the best policies is among those with the best estimates."""


@dataclass(frozen=True)
class Comparison:
    """Policies of one dataset whose estimates were made with the same settings, best estimate first."""

    dataset: str
    settings: Mapping[str, Any]
    candidates: list[Candidate]

    def agreements(self) -> list[Agreement]:
        """Return how well each estimate that there is agrees with the returns, if at least two are known."""
        rows = []
        for name in ESTIMATES:
            pairs = np.array([(x.estimates[name], x.value) for x in self.candidates]).reshape(-1, 2)
            estimates, values = pairs[~np.isnan(pairs).any(axis=1)].T
            if len(values) < 2:
                continue
            estimates = _BETTER[name] * estimates
            regrets = tuple(regret_at(k, estimates, values) for k in KS)
            shares = tuple(top_share_at(k, estimates, values) for k in KS)
            rows.append(Agreement(name, len(values), spearman(estimates, values), regrets, shares))
        return rows


def compare(folders: Sequence[Path]) -> list[Comparison]:
    """Return the policies of the runs in these folders that have estimates, by dataset and settings.

    Raises RunError if a file of one of them is missing or damaged.
    """
    groups: dict[tuple[str, str, str], list[Candidate]] = defaultdict(list)
    names: dict[str, str] = {}
    for folder in folders:
        summary, selection = read_summary(folder), read_selection(folder)
        try:
            fitted, first = selection["fitted_to"], selection["initial_states"]
            settings = selection["settings"] | {"episodes": fitted["episodes"]}  # a run may hold out none
            key = selection["dataset_sha256"], json.dumps(settings), json.dumps([fitted, first])
            names.setdefault(key[0], shown(PurePath(summary["dataset"]).stem))
            groups[key] += _candidates(folder, summary, selection)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise RunError(f"summary.json or selection.json in {folder} is damaged.") from error
    return [
        Comparison(names[sha256], json.loads(settings), sorted(candidates, key=_order))
        for (sha256, settings, _), candidates in groups.items()
    ]


def _candidates(
    folder: Path, summary: Mapping[str, Any], selection: Mapping[str, Any]
) -> Iterator[Candidate]:
    method = shown(method_name(str(summary["algo"]).rpartition(":")[2], summary["cocoa"]))
    values = _returns(summary, selection["step"])
    for position, seed in enumerate(selection["seeds"]):
        blocks = {name: selection[name] for name in ESTIMATES}
        estimates = {
            name: np.nan if block is None else _number(block["per_seed"][position], -_BETTER[name] * np.inf)
            for name, block in blocks.items()
        }
        yield Candidate(folder, method, seed, estimates, _number(values.get(seed, np.nan), -np.inf))


def _returns(summary: Mapping[str, Any], step: int) -> dict[int, Any]:
    """Return the returns of the policies after the update `step` by seed: final ones, else the last."""
    last = summary.get("return") if summary["step"] == step else None
    returns = dict(zip(summary["seeds"], last["per_seed"], strict=True)) if last else {}
    final = summary.get(BLOCK)
    if final and final["step"] == step:
        returns |= dict(zip(final["seeds"], final["return"]["per_seed"], strict=True))
    return returns


def _order(candidate: Candidate) -> float:
    estimate = candidate.estimates["fqe"]
    return -estimate if np.isfinite(estimate) else np.inf


def _number(value: Any, diverged: float) -> float:
    return diverged if value is None else float(value)
