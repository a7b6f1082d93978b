"""`-m study=...`: the runs of a study, of which those that are finished are left out; `cocoa status`."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from filelock import FileLock

from cocoa.cli.arguments import INTERRUPTED
from cocoa.cli.jobs import Job, call
from cocoa.config.schema import Config
from cocoa.errors import ConfigError, RunError
from cocoa.runs.places import method, study_folder
from cocoa.runs.study import State, data_changed, find_named, named, state_of
from cocoa.runs.summary import read_summary
from cocoa.runs.terminal import print_result
from cocoa.storage.files import atomic_write, read_regular, reason, write_error

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
        return State("failed") if folder is None and self.log(study).exists() else state_of(folder)

    def log(self, study: Path) -> Path:
        """Return where its output goes."""
        return study / "logs" / f"{self.name}.log"


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
    return PlannedRun(name, config.dataset, method(config), config.updates, shlex.join(words))


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


def run(jobs: Sequence[Job], settings: Sequence[str] = ()) -> int:
    """Do what is left of a study's jobs and return the exit status: 0 if all are finished.

    Finished runs, and those that another process is training, are left out; cut and failed ones go on. With
    `settings` Hydra's launcher runs them and keeps their output, else they follow each other, and the output
    of each is added to its log in the study's folder.
    """
    study, runs = plan(jobs)
    left = []
    for planned, job in zip(runs, jobs, strict=True):
        state = planned.state(study)
        if state.word == "running" or (state.word == "finished" and not data_changed(state.summary)):
            _say(f"{state.word}: {planned.command}")
        else:
            left.append((planned, job))
    status = _launch(left, settings) if left and settings else _one_by_one(study, left)
    if status == INTERRUPTED:
        return INTERRUPTED
    print(table(study, runs))
    return status or int(any(planned.state(study).word != "finished" for planned in runs))


def _launch(left: Sequence[tuple[PlannedRun, Job]], settings: Sequence[str]) -> int:
    """Let Hydra's launcher run jobs and return its exit status."""
    from cocoa.cli.launcher import launch

    try:
        launch([job for _, job in left], settings)
    except SystemExit as exit:  # how Hydra ends after an error, which it has printed
        return exit.code if isinstance(exit.code, int) else 1
    return 0


def _one_by_one(study: Path, left: Sequence[tuple[PlannedRun, Job]]) -> int:
    """Run jobs until one is interrupted; return its exit status, or 1 if one failed, else 0."""
    failed = 0
    for number, (planned, (words, _)) in enumerate(left, start=1):
        _say(f"[{number}/{len(left)}] {planned.command}\n    log: {planned.log(study)}")
        start = time.monotonic()
        with planned.log(study).open("ab") as log:
            status = call([sys.executable, sys.argv[0], *words], log)
        word = "failed" if status not in (0, INTERRUPTED) else planned.state(study).word
        _say(f"    {word} after {time.monotonic() - start:.0f} s")
        if status == INTERRUPTED:
            return INTERRUPTED
        if status:
            failed = 1
            _say(f"    {_last_line(planned.log(study))}")
    return failed


def _last_line(log: Path) -> str:
    """Return the last line of a job's output, which says why it failed."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - _TAIL))
        lines = file.read().decode(errors="replace").split("\n")
    return next((line for line in reversed(lines) if line.strip()), "")


def status(arguments: Sequence[str], program: str) -> int:
    """Print the table of a study's runs for the arguments after `status` and return the exit status."""
    about = "Show how far the runs of a study are."
    parser = argparse.ArgumentParser(prog=program, description=about)
    parser.add_argument("study", type=Path, help="the study's folder, as in runs/first")
    study = parser.parse_args(arguments).study
    runs = [*read_plan(study), *_unplanned(study)]
    if not runs:
        raise RunError(f"There is no run of a study in {study}. Name a study's folder: {program} runs/first")
    print_result(table(study, runs))
    return 0


def _unplanned(study: Path) -> Iterator[PlannedRun]:
    """Yield the runs in a study's folder that were started one by one, and are in no plan."""
    planned = {run.name for run in read_plan(study)}
    for path in sorted(study.glob("*/*/*/summary.json")):
        folder = path.parent
        if folder.name not in planned:
            with suppress(RunError):
                updates = read_summary(folder).get("updates", 0)
                yield PlannedRun(folder.name, folder.parts[-3], folder.parts[-2], updates, "")


def table(study: Path, runs: Sequence[PlannedRun]) -> str:
    """Return a line for each run, and how many are in each state."""
    states = [planned.state(study) for planned in runs]
    rows = [
        ("dataset", "method", "run", "state", "updates", "score"),
        *(
            (
                planned.dataset,
                planned.method,
                planned.name,
                state.word,
                f"{state.updates:,} / {planned.updates:,}",
                _score(state),
            )
            for planned, state in zip(runs, states, strict=True)
        ),
    ]
    counts = Counter(state.word for state in states)
    total = ", ".join(f"{count} {word}" for word, count in counts.items())
    return "\n".join([*_aligned(rows), "", f"Runs: {total}"])


def _score(state: State) -> str:
    for unit in ("score", "return"):
        block = state.summary.get(unit)
        if block and block["mean"] is not None:
            return f"{block['mean']:.1f}" if unit == "score" else f"return {block['mean']:.1f}"
    return ""


def _aligned(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
