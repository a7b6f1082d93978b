"""Several runs: every combination of the values in a sweep, one by one or by a launcher."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from typing import Any

from cocoa.cli.sweep import expand
from cocoa.config.compose import compose, parse
from cocoa.errors import ConfigError
from cocoa.studies.launchers import LAUNCHERS, Launcher, launcher_of
from cocoa.studies.plan import Job, shell
from cocoa.studies.worker import INTERRUPTED, listening

_LAUNCHER = "launcher"


def run(words: Sequence[str]) -> int:
    """Run every combination of the values given with commas, each in a process of its own.

    All are composed before the first starts. A failed one does not stop the others. With `launcher=` several
    run at once.
    """
    launcher = _launcher(words)
    jobs = jobs_of(words)
    _check_folders(jobs)
    if jobs[0][1].study is not None:
        from cocoa.studies import launch

        return launch.run(jobs, launcher)
    if launcher:
        raise ConfigError("launcher= needs study=<name>: a folder for the states and outputs of its runs.")
    return _one_by_one([job for job, _ in jobs])


def jobs_of(words: Sequence[str]) -> list[Job]:
    """Return the runs that `words` stand for, without those of a launcher; of runs that are equal, the first.

    Raises ConfigError for a setting of Hydra itself.
    """
    words = [word for word in words if not _is_launcher(word)]
    _check_hydra(words)
    jobs: dict[str, Job] = {}
    for job in expand(words):
        config, _ = compose(job)
        first, _ = jobs.setdefault(repr(config), (job, config))
        if first is not job:
            print(f"Left out: {shell(job)} is the same as {shell(first)}", file=sys.stderr)
    return list(jobs.values())


def _is_launcher(word: str) -> bool:
    return word.partition("=")[0].partition(".")[0] == _LAUNCHER


def _launcher(words: Sequence[str]) -> Launcher | None:
    """Return the launcher that the arguments choose, if any. Raises a UserError."""
    overrides = parse([word for word in words if _is_launcher(word)])
    values: dict[str, Any] = {override.key_or_group: override.value() for override in overrides}
    if swept := [override.input_line for override in overrides if override.is_sweep_override()]:
        raise ConfigError(f"{swept[0]} holds several values, but all runs have one launcher.")
    if not values:
        return None
    if _LAUNCHER not in values:
        raise ConfigError(f"{next(iter(values))}= needs a launcher: launcher={', '.join(LAUNCHERS)}.")
    name = str(values.pop(_LAUNCHER))
    return launcher_of(name, {field.partition(".")[2]: value for field, value in values.items()})


def _one_by_one(jobs: Sequence[Sequence[str]]) -> int:
    from cocoa.studies.launch import task

    failed = []
    with listening() as stop:
        for number, job in enumerate(jobs, start=1):
            if stop.is_set():
                print(f"Not started: {shell(job)}", file=sys.stderr)
                continue
            print(f"[{number}/{len(jobs)}] {shell(job)}", file=sys.stderr, flush=True)
            if task(job)(stop) not in (0, INTERRUPTED):
                failed.append(shell(job))
    for job in failed:
        print(f"Failed: {job}", file=sys.stderr)
    return INTERRUPTED if stop.is_set() else int(bool(failed))


def _check_hydra(words: Sequence[str]) -> None:
    """Raise ConfigError for settings of Hydra itself, of which only the grammar is used."""
    for override in parse(words):
        if override.is_hydra_override():
            raise ConfigError(
                f"{override.input_line} has no effect: values come from the command line, folders are below "
                f"runs_dir=, and runs are launched by launcher={', '.join(LAUNCHERS)}."
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
