"""Runs that are not in a report's numbers: how far they are, and why they are left out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from cocoa.errors import RunError, shown
from cocoa.report.runs import NOT_FINISHED
from cocoa.studies.plan import PlannedRun, last_line, logged_failure, read_plan
from cocoa.studies.states import state_of


@dataclass(frozen=True)
class Unfinished:
    """A run that is not in the numbers."""

    name: str
    """Its folder, or that of a run that has none yet."""
    dataset: str
    method: str
    state: str
    """planned, running, cut, failed, or `left out`: finished or damaged."""
    updates: int
    """Made and saved, per seed."""
    total: int | None
    """Updates in all; None if they are not known."""
    score: float | None
    """The mean of its last evaluation so far; a return if there are no scores."""
    why: str


def unfinished(
    folders: Iterable[Path], left_out: Mapping[Path, str], started: Iterable[Path]
) -> list[Unfinished]:
    """Return the runs at or below `folders` that are not in the numbers.

    `left_out` are those that have a folder, with the reason; `started` are all that have one. Planned runs
    are those of studies at `folders` or one level below.
    """
    names = {folder.name for folder in started}
    plans = [(folder, run) for folder in _studies(folders) for run in _plan(folder)]
    listed = [_started(folder, why, plans) for folder, why in left_out.items()]
    return [*listed, *(_planned(study, run) for study, run in plans if run.name not in names)]


def _studies(folders: Iterable[Path]) -> Iterator[Path]:
    for folder in folders:
        for path in (folder, *sorted(folder.glob("*/"))):
            if (path / "study.json").is_file():
                yield path


def _plan(study: Path) -> Sequence[PlannedRun]:
    with suppress(RunError):  # damaged: what has a folder is listed all the same
        return read_plan(study)
    return ()


def _planned(study: Path, run: PlannedRun) -> Unfinished:
    """Return a run without a folder: one that has left its output failed before it had any."""
    log = run.log(study)
    state, why = ("failed", _why(log)) if log.is_file() else ("planned", "not started")
    dataset = shown(PurePath(run.dataset).stem)
    return Unfinished(shown(run.name), dataset, shown(run.method), state, 0, run.updates, None, why)


def _started(folder: Path, why: str, plans: Sequence[tuple[Path, PlannedRun]]) -> Unfinished:
    state = state_of(folder)
    word = state.word if why == NOT_FINISHED else "left out"
    reason = _REASONS.get(word, why)
    if word == "failed":
        logs = [run.log(study) for study, run in plans if run.name == folder.name]
        own = shown(logged_failure(folder), 300) or reason
        reason = next((_why(log) for log in logs if log.is_file()), own)
    total = state.summary.get("length")
    return Unfinished(
        shown(folder, 1000),
        shown(folder.parts[-3] if len(folder.parts) > 2 else "-"),
        shown(folder.parts[-2] if len(folder.parts) > 1 else "-"),
        word,
        state.updates,
        total if type(total) is int else None,
        _score(state.summary),
        reason,
    )


_REASONS = {
    "running": "it is being trained",
    "cut": "not finished: resume it, or start its study again",
    "failed": "it failed; its log.txt, which would say why, is gone",
}


def _score(summary: Mapping[str, Any]) -> float | None:
    """Return the mean of the last evaluation, a score if there is one; None without any."""
    for unit in ("score", "return"):
        block = summary.get(unit)
        if isinstance(block, Mapping) and type(block.get("mean")) in (int, float):
            return float(block["mean"])
    return None


def _why(log: Path) -> str:
    """Return why a run failed, as its output says."""
    try:
        return shown(last_line(log) or "it has left no output", 300)
    except OSError:
        return f"{log} cannot be read"
