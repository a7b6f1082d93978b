"""One trial: its run in a process of its own, watched so that it can be pruned."""

from __future__ import annotations

import math
from pathlib import Path

from filelock import FileLock, Timeout

from cocoa.errors import RunError
from cocoa.runs.study import find
from cocoa.runs.summary import read_summary, write_summary
from cocoa.studies.launch import task
from cocoa.studies.plan import last_line
from cocoa.studies.worker import INTERRUPTED
from cocoa.tuning.objective import estimate_of, evaluations, unit_of, value_of
from cocoa.tuning.search import Claim, Search

_ATTEMPTS = 2
"""Of a run whose process is killed from outside."""


def work(search: Search, claim: Claim) -> str:
    """Train the run of a trial unless it is finished, store what comes of it, and say that in words.

    A run that is killed goes on once from its last checkpoint. Raises KeyboardInterrupt after Ctrl-C, when
    everything is saved; the trial then stays open, and goes on with the next launch. Raises ConfigError if
    no trial of the search can have a value.
    """
    watch = Watch(search, claim)
    status = 0
    finished = claim.run.state(search.plan.study).word == "finished"
    for _ in range(0 if finished or watch() else _ATTEMPTS):
        status = task(claim.words, claim.run.log(search.plan.study))(watch=watch)
        if status == INTERRUPTED:
            claim.run.forget_unstarted(search.plan.study)
            raise KeyboardInterrupt
        if status >= 0:
            break
    return _store(search, claim, watch, status)


def _store(search: Search, claim: Claim, watch: Watch, status: int) -> str:
    folder, word = find(claim.config), claim.run.state(search.plan.study).word
    if folder is not None and word == "finished":
        try:
            unit, value = _measured(folder, claim, search.plan.options.objective)
        except RunError as error:
            search.fail(claim.trial, str(error))
            return f"failed: {error}"
        search.finish(claim.trial, value, unit)
        return f"{unit} {value:.1f}"
    if word == "running":
        return "another process is training this run"
    if folder is not None and watch.pruned:
        _mark(folder, watch.pruned)
        search.prune(claim.trial, watch.pruned)
        return f"pruned: {watch.pruned}"
    why = watch.diverged or _ending(status, claim.run.log(search.plan.study))
    search.fail(claim.trial, why)
    return f"failed: {why}"


def _measured(folder: Path, claim: Claim, objective: str) -> tuple[str, float]:
    """Return what the value of a finished run is, and the value."""
    if objective == "fqe":
        return "estimate", estimate_of(folder)
    return unit_of(folder), value_of(folder, claim.config.length)


class Watch:
    """Reports the evaluations of a trial's run while it is trained, and says whether to stop it."""

    def __init__(self, search: Search, claim: Claim):
        """Nothing is stopped before the first call."""
        self.pruned = self.diverged = ""
        """Why the run was stopped."""
        self._claim = claim
        self._scored = search.plan.options.objective == "iqm"
        self._reported = set(search.study.get_trials(deepcopy=False)[claim.trial.number].intermediate_values)
        self._folder: Path | None = None
        self._changed = 0

    def __call__(self) -> bool:
        """Return whether to stop; of a run that has no new evaluation since the last call, False."""
        config = self._claim.config
        self._folder = self._folder or find(config)
        if not self._scored or self._folder is None or not self._is_new(self._folder):
            return False
        try:
            values = evaluations(self._folder)
        except RunError:  # not written yet
            return False
        early = {step: value for step, value in values.items() if step < config.length}
        for step, value in early.items():
            if not math.isfinite(value):
                self.diverged = f"The score after update {step:,} is not finite: the training diverged."
                return True
            if step not in self._reported:
                self._reported.add(step)
                self._claim.trial.report(value, step)
        if early and self._claim.trial.should_prune():
            self.pruned = (
                f"at update {max(early):,} of {config.length:,}, its best evaluation so far, "
                f"{max(early.values()):.1f}, is below the median of the other trials"
            )
        return bool(self.pruned)

    def _is_new(self, folder: Path) -> bool:
        """Return whether the summary has changed, which each evaluation writes after its metrics."""
        try:
            before, self._changed = self._changed, (folder / "summary.json").stat().st_mtime_ns
        except OSError:
            return False
        return self._changed != before


def _mark(folder: Path, why: str) -> None:
    """Say in a run's summary that the run was pruned, unless a process goes on with it."""
    try:
        with FileLock(folder / ".lock", timeout=5):
            write_summary(folder, {**read_summary(folder), "status": "pruned", "pruned": why})
    except (Timeout, RunError):
        pass


def _ending(status: int, log: Path) -> str:
    """Return how a run's process ended."""
    if status < 0:
        return f"The process was killed by signal {-status}; is there too little memory? Its output: {log}"
    return last_line(log) or f"The run ended with exit status {status}. Its output: {log}"
