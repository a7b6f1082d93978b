"""Updates of every registered algorithm, plain and with COCOA, per second of one core."""

from __future__ import annotations

import time
from collections.abc import Iterator

from benchmarks.setting import Line, make_training, peak_flops, rates, updates
from cocoa.algos import REGISTRY
from cocoa.anchors import Seek

LENGTH = 3
"""Updates per turn; those of a model-based algorithm are as many as one round of rollouts lasts."""


def algorithms() -> Iterator[Line]:
    """Updates of every registered algorithm, at its defaults, per second of one core."""
    peak = rates({"peak": peak_flops(1)}, clock=time.process_time)["peak"]
    yield Line("sgemm peak", peak / 1e9, "GFLOP per core second")
    for name, cls in REGISTRY.items():
        for cocoa in (None, Seek()):
            algorithm = cls()
            work = updates(make_training(algorithm, cocoa), algorithm.source.every or LENGTH)
            rate = rates({name: work}, turns=1, clock=time.process_time)[name]
            yield Line(f"{name}{'+cocoa' if cocoa else ''}: rate", rate, "updates per core second")
