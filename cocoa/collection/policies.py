"""The sets of single policies: random actions, the medium policy and the last one."""

from __future__ import annotations

import contextlib

import numpy as np

from cocoa.collection.setup import Setup
from cocoa.runs.metrics import read_metrics
from cocoa.runs.progress import TrainingBar
from cocoa.training.behaviour import Behaviour, uniform

STREAMS = {"random": 10, "medium": 11, "expert": 12}
"""The streams of random numbers with which the policies are played."""
_BLOCK = 5000


def record(setup: Setup, name: str, steps: list[int]) -> None:
    """Play the policies of a name until enough steps are recorded, from where this was stopped before.

    `steps` holds for each seed the environment step after which its policy was kept; random actions need
    none. Raises Interrupted after Ctrl-C, when everything is saved.
    """
    settings, log, stream = setup.settings, setup.log(name), STREAMS[name]
    length = -(-settings.transitions // settings.envs)
    if (done := log.length) == length:
        return
    setup.say(f"Recording {name}: {settings.transitions:,} steps of each seed")
    behaviour = _behaviour(setup, name, steps)
    with (
        contextlib.closing(setup.stepper(stream, log)) as stepper,
        contextlib.closing(TrainingBar(length, done, unit=" steps")) as bar,
    ):
        while done < length:
            count = min(_BLOCK, length - done)
            log.append(stepper.advance(behaviour, done, count))
            done += count
            bar.advance(count, {})
            setup.stopper.check()


def _behaviour(setup: Setup, name: str, steps: list[int]) -> Behaviour:
    seeds = setup.settings.seeds
    if name == "random":
        return uniform(seeds, STREAMS[name], setup.action_dim)
    kept = {step: setup.policies(step) for step in set(steps)}
    return setup.sampler.behaviour([kept[step][row] for row, step in enumerate(steps)], STREAMS[name])


def medium_steps(setup: Setup) -> list[int]:
    """Return for each seed the `medium_step` of its training, and warn where the sets may disappoint."""
    steps, returns = read_metrics(setup.folder / "metrics.csv").values("evaluation/return")
    found = []
    for row, (seed, values) in enumerate(zip(setup.settings.seeds, returns, strict=True)):
        random = float(setup.log("random").returns(row).mean())
        if warning := medium_warning(seed, values, random):
            setup.say(warning)
        found.append(medium_step(steps, values, random))
    return found


def medium_step(steps: np.ndarray, returns: np.ndarray, random: float) -> int:
    """Return after which step an evaluation first reached a third of the last one's return.

    `steps` and `returns` (T,) are those of the evaluations; the third is counted from `random`, the return of
    random actions. If the last return is less than `random`, an evaluation need only reach the last return.
    """
    last = returns[-1]
    return int(steps[np.argmax(returns >= min(random + (last - random) / 3, last))])


def medium_warning(seed: int, returns: np.ndarray, random: float) -> str | None:
    """Return what to tell the user if the last policy is no better than random actions, or the first
    evaluation is beyond a third already; the arguments are as in `medium_step`.
    """
    first, last = float(returns[0]), float(returns[-1])
    if last <= random:
        return (
            f"Warning: the last policy of seed {seed} returns {last:.1f}, no more than random actions "
            f"({random:.1f}): its sets are not what their names say. Train longer, with steps=."
        )
    if first >= random + (last - random) / 3:
        return (
            f"Warning: the first evaluation of seed {seed} is beyond a third of the last one's return, "
            "so its medium policy may be better than a third. Evaluate more often, with eval_every=."
        )
    return None
