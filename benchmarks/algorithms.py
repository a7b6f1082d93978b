"""Updates of every registered algorithm, plain and with COCOA, per second of one core."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

from benchmarks.setting import Line, make_training, peak_flops, rates, updates
from cocoa.algos import REGISTRY
from cocoa.algos.base import Algorithm
from cocoa.algos.rollouts import ModelBased
from cocoa.anchors import Seek

LENGTH = 3
"""Updates per turn; those of a model-based algorithm are as many as one round of rollouts lasts."""
ROUND = 20
"""By this a round of rollouts is divided, its rollouts and its updates, so that it takes less time."""


def algorithms() -> Iterator[Line]:
    """Updates of every registered algorithm, at its defaults, per second of one core."""
    peak = rates({"peak": peak_flops(1)}, clock=time.process_time)["peak"]
    yield Line("sgemm peak", peak / 1e9, "GFLOP per core second")
    for name, cls in REGISTRY.items():
        for cocoa in (None, Seek()):
            algorithm = _in_short_rounds(cls())
            work = updates(make_training(algorithm, cocoa), algorithm.source.every or LENGTH)
            rate = rates({name: work}, turns=1, clock=time.process_time)[name]
            yield Line(f"{name}{'+cocoa' if cocoa else ''}: rate", rate, "updates per core second")


def _in_short_rounds(algorithm: Algorithm) -> Algorithm:
    """Return a model-based algorithm with as many rollouts per update, in shorter rounds."""
    if not isinstance(algorithm, ModelBased):
        return algorithm
    every, starts = algorithm.rollout_every // ROUND, algorithm.rollout_starts // ROUND
    return replace(algorithm, rollout_every=every, rollout_starts=starts)
