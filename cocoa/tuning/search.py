"""The trials of a search: asked of Optuna, and taken over from processes that were killed.

A trial is a run of the study. Whoever works on it holds the lock of that run, so that one which nobody
holds was left behind and goes on from its last checkpoint.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import optuna
from filelock import FileLock, Timeout
from optuna.trial import TrialState

from cocoa.config.compose import compose
from cocoa.config.schema import Config
from cocoa.errors import ConfigError
from cocoa.runs.study import named
from cocoa.storage.files import write_error
from cocoa.studies.plan import PlannedRun
from cocoa.studies.plan import plan as plan_runs
from cocoa.tuning.plan import Plan, keep
from cocoa.tuning.trials import COMMAND, UNIT, WHY, open_study


@dataclass(frozen=True)
class Claim:
    """A trial that this process works on, until `lock` is released."""

    trial: optuna.Trial
    words: Sequence[str]
    config: Config
    run: PlannedRun
    lock: FileLock


class Search:
    """The trials of a plan, which several processes may work on at the same time."""

    def __init__(self, plan: Plan):
        """Open the storage of the plan, made unless it is there. Raises a UserError if it cannot be."""
        self.plan = plan
        self.left_behind = False
        """Whether `claim` saw a trial of a process that was killed, whose run is still being trained."""
        try:
            (plan.folder / "locks").mkdir(parents=True, exist_ok=True)
            with self._alone():
                keep(plan)
                self.study = open_study(plan.study, plan.options.storage)
        except OSError as error:
            raise write_error(plan.folder, error) from error
        # Early evaluations say little of the last: a third of a run is not pruned by.
        warm_up = plan.first.length // 3
        pruner = optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=warm_up)
        self.study.pruner = pruner if plan.options.pruner == "median" else optuna.pruners.NopPruner()

    def claim(self) -> Claim | None:
        """Return a trial to work on, one that was left behind before a new one; None if there is none."""
        self.left_behind = False
        with self._alone():
            trials = self.study.get_trials(deepcopy=False)
            for trial in trials:
                if trial.state == TrialState.RUNNING:
                    claim = self._take(optuna.Trial(self.study, trial._trial_id))
                    if claim is not None:
                        return claim
            for number in range(len(trials), self.plan.options.trials):
                self.study.sampler = self._sampler(number)
                claim = self._take(self.study.ask())
                if claim is not None:
                    return claim
        return None

    def finish(self, trial: optuna.Trial, value: float, unit: str) -> None:
        """Store the value of a trial."""
        trial.set_user_attr(UNIT, unit)
        self.study.tell(trial, value)

    def fail(self, trial: optuna.Trial, why: str) -> None:
        """Store that a trial failed."""
        trial.set_user_attr(WHY, why)
        self.study.tell(trial, state=TrialState.FAIL)

    def prune(self, trial: optuna.Trial, why: str) -> None:
        """Store that a trial was stopped."""
        trial.set_user_attr(WHY, why)
        self.study.tell(trial, state=TrialState.PRUNED)

    def _alone(self) -> FileLock:
        return FileLock(self.plan.folder / ".lock")

    def _sampler(self, number: int) -> optuna.samplers.BaseSampler:
        """Return the sampler of a trial: after a break, a search proposes what it would have without it."""
        seed = np.random.SeedSequence([self.plan.options.sampler_seed, number]).generate_state(1)[0]
        return optuna.samplers.TPESampler(seed=int(seed))

    def _state(self, trial: optuna.Trial) -> TrialState:
        return self.study.get_trials(deepcopy=False)[trial.number].state

    def _take(self, trial: optuna.Trial) -> Claim | None:
        """Return the claim to a trial; None if another process has it, or its settings exclude each other."""
        words = self.plan.space.words(self.plan.space.sample(trial))
        try:
            config, _ = compose(words)
        except ConfigError as error:
            self.fail(trial, str(error))
            return None
        _, (run,) = plan_runs([(words, config)])
        if COMMAND not in trial.user_attrs:
            trial.set_user_attr(COMMAND, shlex.join(words))
        lock = FileLock(self.plan.folder / "locks" / f"{run.name}.lock")
        try:
            lock.acquire(blocking=False)
        except Timeout:
            return None
        being_trained = run.state(self.plan.study).word == "running"
        # Whoever had the lock may have finished the trial since it was listed.
        if being_trained or self._state(trial) != TrialState.RUNNING:
            self.left_behind |= being_trained
            lock.release()
            return None
        return Claim(trial, words, named(config), run, lock)
