"""Several runs: every combination of the values in a sweep, here or where one of Hydra's launchers says."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from typing import Any

from hydra.core.override_parser.types import Override

from cocoa.cli.sweep import expand
from cocoa.config.compose import compose, parse
from cocoa.errors import ConfigError
from cocoa.studies.jobs import INTERRUPTED, Job, call

_LAUNCHER = ("hydra/launcher", "hydra.launcher.")


def run(words: Sequence[str]) -> int:
    """Run every combination of the values given with commas, each in a process of its own.

    All are composed before the first starts. A failed one does not stop the others. With one of Hydra's
    launchers (`hydra/launcher=joblib`) it decides where and when they run.
    """
    settings = [override for override in parse(words) if override.is_hydra_override()]
    _check_settings(settings)
    jobs = jobs_of(words)
    _check_folders(jobs)
    lines = [override.input_line or "" for override in settings]
    if jobs[0][1].study is not None:
        from cocoa.studies import launch

        return launch.run(jobs, lines)
    if settings:
        from cocoa.studies.launcher import launch

        launch(jobs, lines)
        return 0
    return _one_by_one([job for job, _ in jobs])


def jobs_of(words: Sequence[str]) -> list[Job]:
    """Return the runs that `words` stand for; of runs that are equal, the first."""
    jobs: dict[str, Job] = {}
    for job in expand(words):
        config, _ = compose(job)
        first, _ = jobs.setdefault(repr(config), (job, config))
        if first is not job:
            print(f"Left out: {shlex.join(job)} is the same as {shlex.join(first)}", file=sys.stderr)
    return list(jobs.values())


def _one_by_one(jobs: Sequence[Sequence[str]]) -> int:
    failed = []
    for number, job in enumerate(jobs, start=1):
        print(f"[{number}/{len(jobs)}] {shlex.join(job)}", file=sys.stderr, flush=True)
        status = call([sys.executable, sys.argv[0], *job])
        if status == INTERRUPTED:
            for later in jobs[number:]:
                print(f"Not started: {shlex.join(later)}", file=sys.stderr)
            return INTERRUPTED
        if status:
            failed.append(shlex.join(job))
    for job in failed:
        print(f"Failed: {job}", file=sys.stderr)
    return 1 if failed else 0


def _check_settings(settings: Sequence[Override]) -> None:
    """Raise ConfigError for settings of Hydra that have no effect on several runs."""
    launched = any(override.key_or_group.startswith(_LAUNCHER) for override in settings)
    for override in settings:
        if override.key_or_group.startswith("hydra/sweeper"):
            raise ConfigError(
                f"{override.input_line} is not possible: values come from the command line. To search, "
                "call cocoa.fit from the program that proposes them."
            )
        if not launched or override.key_or_group.startswith(("hydra.run.", "hydra.output_subdir")):
            raise ConfigError(
                f"{override.input_line} has no effect on runs of -m, whose folders are below runs_dir=. "
                "Hydra's own settings are for its launchers, such as hydra/launcher=joblib."
            )


def _check_folders(jobs: Sequence[Job]) -> None:
    """Raise ConfigError if a name= would make two runs share a folder."""
    from cocoa.runs.places import method  # slow to import

    taken: dict[Any, Sequence[str]] = {}
    for job, config in jobs:
        folder = config.runs_dir, config.dataset, method(config), config.name
        if config.name is not None and folder in taken:
            raise ConfigError(
                f"name={config.name} would give {shlex.join(taken[folder])} and {shlex.join(job)} the same "
                "folder. Leave it out, so that each run is named by its time."
            )
        taken[folder] = job
