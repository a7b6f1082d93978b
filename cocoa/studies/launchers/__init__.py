"""Launchers: engines that run the tasks of a study, several at once, here or on a cluster."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from cocoa.config.typed import build, check_choice
from cocoa.extras import require
from cocoa.studies.launchers.joblib import Joblib
from cocoa.studies.launchers.ray_cluster import Ray
from cocoa.studies.launchers.submitit import Slurm, Submitit
from cocoa.studies.worker import Stop, Task


class Launcher(Protocol):
    """An engine with its settings: a frozen dataclass."""

    waits: bool
    """Whether `run` goes on until all tasks have ended."""

    def run(self, tasks: Sequence[Task], study: Path, stop: Stop) -> Iterator[tuple[int, int]]:
        """Yield the number of each task that has ended, from 0, and its exit status.

        When `stop` is set, no other task starts, and those that run are stopped and save their state.
        `study` is the study's folder. Raises a UserError if the engine cannot start.
        """
        ...


LAUNCHERS: Mapping[str, tuple[type, str]] = {
    "joblib": (Joblib, "joblib"),
    "submitit": (Submitit, "submitit"),
    "slurm": (Slurm, "submitit"),
    "ray": (Ray, "ray"),
}
"""The classes of launchers by their names, and the package that each needs."""


def launcher_of(name: str, settings: Mapping[str, Any]) -> Launcher:
    """Return a launcher with its settings.

    Raises ConfigError for an unknown name or field, and DataError if its package is missing.
    """
    check_choice("launcher", name, list(LAUNCHERS))
    cls, package = LAUNCHERS[name]
    launcher = build(cls, settings, "launcher.")
    require("cluster", f"launcher={name}", package)
    return launcher
