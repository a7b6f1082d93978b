"""Search: work on trials until all are done."""

from __future__ import annotations

import sys
import time

from optuna.trial import TrialState

from cocoa.tuning.plan import Plan
from cocoa.tuning.search import Search
from cocoa.tuning.trial import work

_PAUSE = 1.0
"""Seconds between two looks at a run that a killed process left behind."""


def tune(plan: Plan) -> Search:
    """Work on the trials of a plan until none is left, and return the search.

    Trials that other processes are working on are left to them. Raises KeyboardInterrupt after Ctrl-C.
    """
    search = Search(plan)
    while True:
        claim = search.claim()
        if claim is None and not search.left_behind:
            return search
        if claim is None:
            time.sleep(_PAUSE)
            continue
        start = time.monotonic()
        values = " ".join(claim.words[len(plan.space.fixed) :])
        _say(f"[{claim.trial.number + 1}/{plan.options.trials}] {values}")
        try:
            ending = work(search, claim)
        finally:
            claim.lock.release()
        _say(f"    {ending} ({time.monotonic() - start:.0f} s){_best(search)}")


def _best(search: Search) -> str:
    """Return a word on the best trial so far."""
    finished = search.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if not finished:
        return ""
    best = max(finished, key=lambda trial: trial.values[0])
    return f"; best so far: {best.values[0]:.1f}, trial {best.number + 1}"


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
