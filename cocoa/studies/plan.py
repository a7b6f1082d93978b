"""The plan of a study: its runs, and the file that lists them."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from filelock import FileLock

from cocoa.config.schema import Config
from cocoa.errors import ConfigError, RunError
from cocoa.runs.places import method, study_folder
from cocoa.runs.study import find_named, named
from cocoa.runs.summary import read_summary
from cocoa.storage.files import atomic_write, read_regular, reason, write_error
from cocoa.studies.states import State, state_of
from cocoa.studies.worker import is_written

Job = tuple[list[str], Config]
"""The arguments and the configuration of one run."""
_PLAN = "study.json"
_LIMIT = 2**27
_TAIL = 10_000
"""Bytes at the end of a log in which its last line is."""


@dataclass(frozen=True)
class PlannedRun:
    """A run of a study, started or not."""

    name: str
    """Of its folder."""
    dataset: str
    method: str
    updates: int
    """In all, per seed."""
    command: str
    """Its arguments."""

    def state(self, study: Path) -> State:
        """Return how far it is; one that has left nothing but its output failed before it had a folder."""
        folder = find_named(study, self.name)
        if folder is not None or not self.log(study).exists():
            return state_of(folder)
        return State("running" if is_written(self.log(study)) else "failed")

    def log(self, study: Path) -> Path:
        """Return where its output goes."""
        return study / "logs" / f"{self.name}.log"

    def failure(self, study: Path) -> str:
        """Return the last line of its output, or else of its own log, which says why it failed."""
        folder = find_named(study, self.name)
        return last_line(self.log(study)) or (logged_failure(folder) if folder else "")

    def forget_unstarted(self, study: Path) -> None:
        """Remove its output if it was stopped before it had a folder, so that it is planned, not failed."""
        if find_named(study, self.name) is None:
            self.log(study).unlink(missing_ok=True)


def plan(jobs: Sequence[Job]) -> tuple[Path, list[PlannedRun]]:
    """Add jobs to their study's plan; return the study's folder, and the runs for these jobs.

    Raises ConfigError if the jobs are of several studies.
    """
    folders = {study_folder(config) for _, config in jobs}
    if len(folders) > 1 or not all(config.study for _, config in jobs):
        raise ConfigError("study= and runs_dir= must have the same value in all runs of a study.")
    (study,) = folders
    runs = [_planned(words, config) for words, config in jobs]
    try:
        (study / "logs").mkdir(parents=True, exist_ok=True)
        with FileLock(study / ".lock"):
            every = {run.name: run for run in (*read_plan(study), *runs)}
            text = json.dumps([asdict(run) for run in every.values()], indent=2)
            atomic_write(study / _PLAN, f"{text}\n".encode())
    except OSError as error:
        raise write_error(study, error) from error
    return study, runs


def _planned(words: Sequence[str], config: Config) -> PlannedRun:
    name = named(config).name or ""
    return PlannedRun(name, config.dataset, method(config), config.length, shell(words))


def shell(words: Sequence[str]) -> str:
    """Return words as a shell takes them; those with quotes of Hydra's, in double quotes to be readable."""
    plain = [word for word in words if "'" in word and not set(word) & set('"$`\\!')]
    return " ".join(f'"{word}"' if word in plain else shlex.quote(word) for word in words)


def read_plan(study: Path) -> list[PlannedRun]:
    """Return the runs of a study; empty if there is none in the folder. Raises RunError if it is damaged."""
    path = study / _PLAN
    try:
        runs = [PlannedRun(**values) for values in json.loads(read_regular(path, _LIMIT))]
        if not all(isinstance(run.updates, int) and run.name.isprintable() for run in runs):
            raise ValueError("it holds no plan")
        return runs
    except FileNotFoundError:
        return []
    except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise RunError(
            f"{path} cannot be read ({reason(error)}). Delete it, and start the study again: its runs go on."
        ) from error


def unplanned(study: Path) -> Iterator[PlannedRun]:
    """Yield the runs in a study's folder that were started one by one, and are in no plan."""
    planned = {run.name for run in read_plan(study)}
    for path in sorted(study.glob("*/*/*/summary.json")):
        folder = path.parent
        if folder.name not in planned:
            with suppress(RunError):
                updates = read_summary(folder).get("length", 0)
                yield PlannedRun(folder.name, folder.parts[-3], folder.parts[-2], updates, "")


def logged_failure(folder: Path) -> str:
    """Return the last line that a failed run logged into its folder, without the time; empty if none."""
    return last_line(folder / "log.txt")[len("2026-01-31 12:00:00 ") :]


def last_line(log: Path) -> str:
    """Return the last line of a run's output, which says why it failed; empty if there is none.

    Raises OSError if the output cannot be read.
    """
    if not log.exists():
        return ""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - _TAIL))
        lines = file.read().decode(errors="replace").replace("\r", "\n").split("\n")  # of progress bars, too
    return next((line for line in reversed(lines) if line.strip()), "")
