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
    """Return for each seed after which step an evaluation first reached a third of the last one's return.

    The third is counted from the return of random actions, which are recorded by now. The user is told where
    the last policy is no better than these, or the first evaluation is beyond a third already.
    """
    steps, returns = read_metrics(setup.folder / "metrics.csv").values("evaluation/return")
    found = []
    for row, (seed, values) in enumerate(zip(setup.settings.seeds, returns, strict=True)):
        random, last = float(setup.log("random").returns(row).mean()), float(values[-1])
        if last <= random:
            setup.say(
                f"Warning: the last policy of seed {seed} returns {last:.1f}, no more than random actions "
                f"({random:.1f}): its sets are not what their names say. Train longer, with steps=."
            )
        first = int(np.argmax(values >= min(random + (last - random) / 3, last)))
        if first == 0 and last > random:
            setup.say(
                f"Warning: the first evaluation of seed {seed} is beyond a third of the last one's return, "
                "so its medium policy may be better than a third. Evaluate more often, with eval_every=."
            )
        found.append(int(steps[first]))
    return found
