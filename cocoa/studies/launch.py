"""Does what is left of a study."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path

from cocoa.studies.jobs import INTERRUPTED, Job, call
from cocoa.studies.plan import PlannedRun, plan
from cocoa.studies.states import data_changed
from cocoa.studies.table import table

_TAIL = 10_000
"""Bytes at the end of a log in which its last line is."""


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
    from cocoa.studies.launcher import launch

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
            _say(f"    {last_line(planned.log(study))}")
    return failed


def last_line(log: Path) -> str:
    """Return the last line of a job's output, which says why it failed."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - _TAIL))
        lines = file.read().decode(errors="replace").split("\n")
    return next((line for line in reversed(lines) if line.strip()), "")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
