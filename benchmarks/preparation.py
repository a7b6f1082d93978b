"""What comes before training: fits of models and seeker, reverse rollouts, the table of anchors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

from benchmarks.flops import Net, chain
from benchmarks.setting import ACTION, DYNAMICS, STATE, Line, ensemble, observe, peak_flops, rates
from cocoa.anchors import Seek, SeekerConfig
from cocoa.anchors.seeker import SeekerFit
from cocoa.anchors.table import anchor_table
from cocoa.dynamics.fit import EnsembleFit
from cocoa.dynamics.reverse import ReverseModel, reverse_rollouts

ROWS, TABLE_ROWS = 50_000, 200_000


def preparation() -> Iterator[Line]:
    """Each stage before training; the fits beside the matrix products they need and the peak."""
    measured = rates(
        {
            "peak": peak_flops(),
            "ensemble": _epochs(_ensemble_fit(), DYNAMICS.batch_size),
            "seeker": _epochs(_seeker_fit(), SeekerConfig.batch_size),
            "rollouts": _rollouts(),
            "table": _table(),
        }
    )
    peak = measured["peak"]
    yield Line("sgemm peak", peak / 1e9, "GFLOP/s")
    yield Line(f"ensemble of {DYNAMICS.members}: rate", measured["ensemble"], "updates/s", 100)
    yield Line("ensemble: needed FLOPs over peak", measured["ensemble"] * _ensemble_flops() / peak)
    yield Line("seeker: rate", measured["seeker"], "updates/s", 3000)
    yield Line("seeker: needed FLOPs over peak", measured["seeker"] * _seeker_flops() / peak)
    yield Line("reverse rollouts: rate", measured["rollouts"], "transitions/s", 250_000)
    name = f"anchors of 1M transitions, from {TABLE_ROWS // 1000}k"
    yield Line(name, 1e6 / measured["table"], "s", 40, below=True)


def _ensemble_flops() -> float:
    """FLOPs of an update of all members, each with a batch of its own."""
    first, *behind = chain(STATE + ACTION, *DYNAMICS.hidden, 2 * (STATE + 1))
    return DYNAMICS.members * Net([first], behind, DYNAMICS.batch_size).training.flops


def _seeker_flops() -> float:
    first, *behind = chain(STATE, *SeekerConfig.hidden, ACTION)
    return Net([first], behind, SeekerConfig.batch_size).training.flops


def _ensemble_fit() -> EnsembleFit:
    rows = _normal(ROWS + DYNAMICS.max_holdout, STATE + ACTION)
    return EnsembleFit(DYNAMICS, rows, _normal(len(rows), STATE + 1), jax.random.key(0))


def _seeker_fit() -> SeekerFit:
    actions = np.clip(_normal(5 * ROWS, ACTION), -1, 1)
    return SeekerFit(SeekerConfig(), _normal(len(actions), STATE), actions, jax.random.key(0))


def _epochs(fit: Any, batch_size: int) -> Callable[[], float]:
    """Return a work of an epoch, which counts its updates; one is done here for the compiler's sake."""
    rows = fit.train_data[0] if isinstance(fit, EnsembleFit) else fit.states
    state, _ = fit.epoch(fit.init())

    def work() -> float:
        nonlocal state
        state, _ = fit.epoch(state)
        return len(rows) // batch_size

    return work


def _rollouts() -> Callable[[], float]:
    model = ReverseModel(ensemble(STATE + ACTION, STATE))
    starts, actions = _normal(ROWS, STATE), np.clip(_normal(ROWS, ACTION), -1, 1)
    cocoa = Seek()

    def work() -> float:
        key = jax.random.key(0)
        length, scale, noise = cocoa.rollout_length, cocoa.rollout_scale, cocoa.rollout_noise
        return len(reverse_rollouts(model, starts, actions, key, length, scale, noise)[0])

    work()
    return work


def _table() -> Callable[[], float]:
    """Episodes of a thousand steps, within which a next state is the next row's state."""
    anchors = observe(Seek())[0].anchors
    states = _normal(TABLE_ROWS, STATE)
    next_states = np.roll(states, -1, axis=0)
    next_states[999::1000] += 1

    def work() -> float:
        anchor_table(anchors, states, next_states)
        return len(states)

    work()
    return work


def _normal(rows: int, width: int) -> np.ndarray:
    return np.random.default_rng(width).standard_normal((rows, width), np.float32)
