"""Finished runs, read from their folders as plain values: nothing that they name is imported or built."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np

from cocoa.algos import REGISTRY
from cocoa.algos.bc import BC
from cocoa.config.effect import SURROUNDINGS, idle_fields
from cocoa.config.extensions import ANCHOR_VARIANTS
from cocoa.config.schema import Config, to_dict
from cocoa.config.typed import leaves, literal
from cocoa.errors import RunError, UserError, shown
from cocoa.runs.folder import STAGED
from cocoa.runs.metrics import read_metrics
from cocoa.runs.places import method_name
from cocoa.runs.summary import read_summary
from cocoa.runs.yaml import read_values

_NOT_THE_EXPERIMENT = SURROUNDINGS | {"seeds", "dataset", "log_every", "eval_every"}
"""Fields that do not change what is measured: the seeds of runs that differ only in them are pooled."""

_LAST_STEP = 2**53
NOT_FINISHED = "not finished"
"""Why a run is left out that is whole."""


@dataclass(frozen=True)
class Run:
    """A finished run."""

    folder: Path
    values: Mapping[str, Any]
    """The values in config.yaml."""
    summary: Mapping[str, Any]
    curves: dict[int, dict[int, float]]
    """Scores or returns (see `unit`): {seed: {updates: value}}."""
    anchors: Mapping[str, float] = field(default_factory=dict)
    """Diagnostics of the anchors, means over seeds, by names as in `Diagnostics.summary`."""

    @property
    def seeds(self) -> list[int]:
        """The seeds, in the order of the summary's entries."""
        return self.values["seeds"]

    @property
    def updates(self) -> int:
        """Gradient updates per seed."""
        return self.values["updates"]

    @property
    def method(self) -> str:
        """The algorithm's name, with +cocoa, and its variant unless it is the published one."""
        return shown(method_name(self.algo, self.variant))

    @property
    def algo(self) -> str:
        """The algorithm's name."""
        return str(self.summary.get("algo") or self.values["algo"]["name"]).rpartition(":")[2]

    @property
    def variant(self) -> str | None:
        """Where anchors come from; None in a plain run."""
        return self.summary.get("cocoa") or _variant(self.values)

    @property
    def unit(self) -> str:
        """`score` if there are normalized scores, else `return`."""
        return _unit(self.summary)

    @property
    def data(self) -> tuple[str, str, str]:
        """Runs are compared where these agree: the hash of the dataset, the environment and the unit."""
        return self.summary["dataset_sha256"], str(self.values.get("env")), self.unit

    @cached_property
    def settings(self) -> dict[str, str]:
        """Seeds on the same data are pooled where these agree: values as text, by dotted name."""
        algo, variant = self.values["algo"]["name"], _variant(self.values)
        fields = {key: value for key, value in self.values.items() if key not in _NOT_THE_EXPERIMENT}
        settings = {name: literal(value) for name, value in leaves(fields)}
        try:
            settings = _defaults(algo, variant) | settings
            idle = idle_fields(settings, algo, variant)
        except (UserError, KeyError):  # of another version, or a user's own algorithm: all may matter
            idle = {}
        return {name: value for name, value in settings.items() if name not in idle}

    def last(self, index: int) -> float:
        """Return the score or return of a seed's last evaluation, by the seed's position; NaN if diverged."""
        return _finite(self.summary[self.unit]["per_seed"][index])

    @property
    def behaviour(self) -> float:
        """The data's own score or return."""
        return _finite(self.summary[f"behaviour_{self.unit}"])


def find_finished(folders: list[Path]) -> tuple[list[Run], dict[Path, str]]:
    """Return the finished runs at or below `folders`, and for each other run folder why it is left out."""
    runs, others = [], {}
    configs = [path for folder in folders for path in folder.glob("**/config.yaml")]
    run_folders = {path.parent.resolve(): path.parent for path in configs}
    for resolved, folder in sorted(run_folders.items()):
        # Inside of a run: W&B has a config.yaml of its own.
        if not run_folders.keys().isdisjoint(resolved.parents):
            continue
        if folder.name.startswith(STAGED):
            continue
        try:
            runs.append(read_run(folder))
        except UserError as error:
            others[folder] = str(error)
    return runs, others


def read_run(folder: Path) -> Run:
    """Return the finished run in a folder. Raises RunError if it is not finished or a file is damaged."""
    if not (folder / "summary.json").exists():
        raise RunError(NOT_FINISHED)
    summary = read_summary(folder)
    if summary.get("status") != "finished":
        raise RunError(NOT_FINISHED)
    if summary.get("return") is None:
        raise RunError("never evaluated")
    values = read_values(folder)
    if fault := _fault_of_values(values):
        raise RunError(f"its config.yaml {fault}")
    if fault := _fault_of_summary(summary, values["seeds"]):
        raise RunError(f"its summary.json {fault}")
    path = folder / "metrics.csv"
    series = read_metrics(path, ("evaluation/", "anchors/")).series
    curves = {seed: dict(series.get((f"evaluation/{_unit(summary)}", seed), ())) for seed in values["seeds"]}
    for seed, curve in curves.items():
        if not curve or not all(0 <= step < _LAST_STEP for step in curve):
            raise RunError(f"{path} is damaged: it has no evaluation of seed {seed}.")
    return Run(folder, values, summary, curves, _anchors(series))


def _anchors(series: Mapping[tuple[str, int | None], list[tuple[int, float]]]) -> dict[str, float]:
    """Return the last diagnostics of the anchors, means over the seeds that have them."""
    values: dict[str, list[float]] = defaultdict(list)
    for (name, _), entries in series.items():
        if name.startswith("anchors/"):
            values[name].append(entries[-1][1])
    return {name: float(np.mean(numbers)) for name, numbers in values.items()}


def _unit(summary: Mapping[str, Any]) -> str:
    return "return" if summary.get("score") is None else "score"


def _variant(values: Mapping[str, Any]) -> str | None:
    """Return where anchors come from; None in a plain run."""
    wrapped = values.get("cocoa")
    return wrapped.get("variant") if wrapped else None


@cache
def _defaults(algo: str, variant: str | None) -> dict[str, str]:
    """Return the defaults, which fields have that a run of an earlier version does not know."""
    cls = REGISTRY.get(algo, BC)
    values = to_dict(Config(cls(), ANCHOR_VARIANTS.find(variant)() if variant else None))
    if algo not in REGISTRY:
        del values["algo"]
    fields = {key: value for key, value in values.items() if key not in _NOT_THE_EXPERIMENT}
    return {name: literal(value) for name, value in leaves(fields)}


def _fault_of_values(values: Mapping[str, Any]) -> str:
    """Return why a configuration is left out of the table, or an empty string."""
    algo, wrapped, seeds = values.get("algo"), values.get("cocoa"), values.get("seeds")
    if not _named_by_text(values):
        return "has a field whose name is no text"
    if not isinstance(algo, Mapping) or not isinstance(algo.get("name"), str):
        return "names no algorithm"
    if wrapped is not None and not (isinstance(wrapped, Mapping) and isinstance(_variant(values), str)):
        return "names no variant of anchors"
    if not isinstance(seeds, list) or not all(type(seed) is int for seed in seeds):
        return "has no list of seeds"
    if not seeds or len(set(seeds)) < len(seeds):
        return "has no different seeds"
    if type(values.get("updates")) is not int or not 0 <= values["updates"] < _LAST_STEP:
        return "has no number of updates"
    if not isinstance(values.get("dataset"), str):
        return "names no dataset"
    return ""


def _named_by_text(node: Any) -> bool:
    if not isinstance(node, Mapping):
        return True
    return all(isinstance(key, str) and _named_by_text(value) for key, value in node.items())


def _fault_of_summary(summary: Mapping[str, Any], seeds: list[int]) -> str:
    """Return why a summary is left out of the table, or an empty string."""
    unit = _unit(summary)
    block, behaviour = summary.get(unit), f"behaviour_{unit}"
    for name in (behaviour, "dataset_sha256"):
        if name not in summary:
            return f"lacks {name}"
    if not isinstance(summary["dataset_sha256"], str):
        return "has a dataset_sha256 that is no text"
    for name in ("algo", "cocoa"):
        if not isinstance(summary.get(name), str | None):
            return f"has a value of {name} that is no text"
    if not _is_number(summary[behaviour]):
        return f"has a {behaviour} that is no number"
    per_seed = block.get("per_seed") if isinstance(block, Mapping) else None
    if not isinstance(per_seed, list) or not all(map(_is_number, per_seed)):
        return f"has no numbers in {unit}.per_seed"
    if len(per_seed) != len(seeds):
        return f"has not as many numbers in {unit}.per_seed as its config.yaml has seeds"
    return ""


def _finite(value: float | None) -> float:
    """Return a number of a summary, NaN if it is not finite."""
    return float(value) if value is not None and math.isfinite(value) else math.nan


def _is_number(value: Any) -> bool:
    """Return whether a JSON value is a number, or the null that stands for a number that is not finite."""
    if isinstance(value, int) and not isinstance(value, bool):
        return abs(value) < _LAST_STEP
    return value is None or isinstance(value, float)
