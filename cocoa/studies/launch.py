"""Does what is left of a study, one run after the other or by a launcher."""

from __future__ import annotations

import os
import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from cocoa.studies.launchers import Launcher
from cocoa.studies.plan import Job, PlannedRun, last_line, plan
from cocoa.studies.states import data_changed
from cocoa.studies.table import table
from cocoa.studies.worker import INTERRUPTED, Stop, Task, listening


def run(jobs: Sequence[Job], launcher: Launcher | None = None) -> int:
    """Do what is left of a study's jobs and return the exit status: 0 if all are finished.

    Finished runs, and those that another process is training, are left out; cut and failed ones go on. They
    follow each other, or the launcher decides when and where each runs. The output of each is added to its
    log in the study's folder.
    """
    study, runs = plan(jobs)
    left = []
    for planned, job in {run.name: (run, job) for run, job in zip(runs, jobs, strict=True)}.values():
        if word := _nothing_to_do(planned, study):
            _say(f"{word}: {planned.command}")
        else:
            left.append((planned, task(job[0], planned.log(study))))
    failed = False
    with listening() as stop:
        for outcome in _launch(left, launcher, study, stop):
            failed |= outcome == "failed"
        if stop.is_set():
            _say("Stopped; what was trained is saved. The same command goes on.")
    if launcher and not launcher.waits:
        _say(f"Submitted {len(left)} runs: their output goes to {shlex.quote(str(study / 'logs'))}.")
        return 0
    print(table(study, runs))
    if stop.is_set():
        return INTERRUPTED
    return int(failed or any(planned.state(study).word != "finished" for planned in runs))


def task(words: Sequence[str], log: Path | None = None) -> Task:
    """Return the task that runs this program, here, with other arguments."""
    command = (sys.executable, os.path.abspath(sys.argv[0]), *words)
    return Task(command, os.getcwd(), str(log.absolute()) if log else None)


def _nothing_to_do(planned: PlannedRun, study: Path) -> str | None:
    """Return the state of a run that need not be started, else None."""
    state = planned.state(study)
    done = state.word == "finished" and not data_changed(state.summary)
    return state.word if done or state.word == "running" else None


def _launch(
    left: Sequence[tuple[PlannedRun, Task]], launcher: Launcher | None, study: Path, stop: Stop
) -> Iterator[str]:
    """Run the tasks; yield what became of each that has ended, after a line that says it."""
    if launcher is None:
        yield from _one_by_one(left, study, stop)
    elif left:
        name = type(launcher).__name__.lower()
        _say(f"{len(left)} runs by launcher={name}; logs: {shlex.quote(str(study / 'logs'))}")
        ends = launcher.run([task for _, task in left], study, stop)
        for ended, (number, status) in enumerate(ends, start=1):
            planned = left[number][0]
            outcome = _outcome(planned, study, status)
            if not stop.is_set():
                _say(f"[{ended}/{len(left)}] {outcome}: {planned.command}")
                _explain(planned, study, outcome)
            yield outcome


def _one_by_one(left: Sequence[tuple[PlannedRun, Task]], study: Path, stop: Stop) -> Iterator[str]:
    for number, (planned, task) in enumerate(left, start=1):
        if stop.is_set():
            return
        title = f"[{number}/{len(left)}] {planned.command}"
        if word := _nothing_to_do(planned, study):  # since the study was launched a second time meanwhile
            _say(f"{title}\n    {word}")
            continue
        _say(f"{title}\n    log: {shlex.quote(str(planned.log(study)))}")
        start = time.monotonic()
        outcome = _outcome(planned, study, task(stop))
        _say(f"    {outcome} after {time.monotonic() - start:.0f} s")
        _explain(planned, study, outcome)
        yield outcome


def _outcome(planned: PlannedRun, study: Path, status: int) -> str:
    """Return `failed`, or the state of a run that has ended: `running` if another launch was faster."""
    if status == INTERRUPTED:
        planned.forget_unstarted(study)
    word = planned.state(study).word
    return word if status in (0, INTERRUPTED) or word == "running" else "failed"


def _explain(planned: PlannedRun, study: Path, outcome: str) -> None:
    """Print the last line of a failed run's output, which says why."""
    if outcome == "failed":
        _say(f"    {last_line(planned.log(study))}")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
