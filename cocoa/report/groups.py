"""Groups of runs whose seeds are samples of the same experiment, with distinct labels."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePath

import numpy as np

from cocoa.data.sources import is_list, label
from cocoa.errors import shown
from cocoa.report.runs import Run
from cocoa.runs.console import begun
from cocoa.statistics.aggregates import iqm
from cocoa.statistics.bootstrap import Estimate, estimate

_LAST = 10
"""How many of the last evaluations are averaged."""


@dataclass(frozen=True)
class Group:
    """Runs of equal settings on the same data."""

    dataset: str
    """Label of the data: the name of the file, and more where several datasets share it."""
    label: str
    """The method, and the settings in which it differs from others on the dataset."""
    runs: list[Run]

    @property
    def seeds(self) -> dict[int, tuple[Run, int]]:
        """For each seed the last run that has it, and the position of the seed in that run."""
        return {seed: (run, i) for run in self.runs for i, seed in enumerate(run.seeds)}

    @property
    def last(self) -> np.ndarray:
        """The scores or returns (seeds,) of the last evaluation, NaN for a seed that diverged."""
        return np.array([run.last(i) for run, i in self.seeds.values()])

    @property
    def last_ten(self) -> np.ndarray:
        """The means (seeds,) of the last ten evaluations that all seeds have."""
        steps, values = self.curve()
        return values[:, -_LAST:].mean(axis=1) if len(steps) else np.full(len(values), np.nan)

    @cached_property
    def last_iqm(self) -> Estimate:
        """The interquartile mean of `last` with its 95 % bootstrap interval."""
        return estimate(iqm, [self.last])

    @cached_property
    def last_ten_iqm(self) -> Estimate:
        """The interquartile mean of `last_ten` with its 95 % bootstrap interval."""
        return estimate(iqm, [self.last_ten])

    @property
    def diverged(self) -> int:
        """Number of seeds with an evaluation that is not finite."""
        finite = np.isfinite(self.curve()[1]).all(axis=1) & np.isfinite(self.last)
        return int((~finite).sum())

    def curve(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the updates (T,) at which all seeds were evaluated, and the scores or returns (seeds, T)."""
        curves = [run.curves[seed] for seed, (run, _) in self.seeds.items()]
        steps = sorted(set.intersection(*map(set, curves)))
        return np.array(steps), np.array([[curve[step] for step in steps] for curve in curves])


def grouped(runs: Sequence[Run]) -> list[Group]:
    """Return the runs in groups whose seeds may be pooled, ordered by dataset and method."""
    datasets = dataset_labels(runs)
    rivals: dict[tuple[str, str], list[list[Run]]] = defaultdict(list)
    ordered = sorted(runs, key=lambda run: (datasets[run.data], run.method, run.updates, begun(run.folder)))
    for run in ordered:
        others = rivals[datasets[run.data], run.method]
        same = next((group for group in others if group[0].settings == run.settings), None)
        others.append([run]) if same is None else same.append(run)
    return [
        Group(dataset, _label(members, others), members)
        for (dataset, _), others in rivals.items()
        for members in others
    ]


def _label(members: list[Run], others: list[list[Run]]) -> str:
    """Return the method, and the settings in which these runs differ from others of the same dataset."""
    own, settings = members[0].settings, [group[0].settings for group in others]
    distinguishing = [
        shown(f"{name}={value}")
        for name, value in own.items()
        if any(other.get(name) != value for other in settings)
    ]
    return " ".join([members[0].method, *distinguishing])


def dataset_labels(runs: Sequence[Run]) -> dict[tuple[str, str, str], str]:
    """Return a distinct label for each `Run.data`.

    The label is the name of the file. Where several datasets share it, the folder, a hash or the environment
    is added. Equal data have one label, even if runs read them from different files.
    """
    names = {data: _name([run for run in runs if run.data == data]) for data in {run.data for run in runs}}
    labels_by_data = {}
    for name in {path.stem for path in names.values()}:
        same = sorted(data for data, path in names.items() if path.stem == name)
        within = [f"{names[data].parent.name}/{name}" if names[data].parent.name else "" for data in same]
        hashed = [f"{name} {sha256[:12]}" for sha256, _, _ in same]
        candidates = (
            *([name] * len(same), within, hashed),
            [f"{name} {env}" for _, env, _ in same],
            [f"{label} {env}" for label, (_, env, _) in zip(within, same, strict=True)],
            [f"{name} {' '.join(data)}" for data in same],
        )
        chosen = next(labels for labels in candidates if len(set(labels)) == len(same) and all(labels))
        labels_by_data |= {data: shown(label, 1000) for data, label in zip(same, chosen, strict=True)}
    return labels_by_data


def _name(runs: Sequence[Run]) -> PurePath:
    """Return the name or path under which most of these runs read their dataset."""
    counts = Counter(run.values["dataset"] for run in runs)
    name = min(counts, key=lambda name: (-counts[name], name))
    return PurePath(label(name) if is_list(name) else name)
