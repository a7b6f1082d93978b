"""SAC-N and EDAC with few and many critics: updates per second, and what their programs cost to compile."""

from __future__ import annotations

import time
from collections.abc import Iterator

import jax

from benchmarks.flops import Sizes, needed
from benchmarks.setting import Line, make_training, peak_flops, rates, updates
from benchmarks.updates import compile_update
from cocoa.algos.edac import EDAC

COUNTS = {2: 20, 10: 5, 50: 1}
"""Updates per turn, by the number of critics."""
COMPILE_GOAL = 2
"""Time to compile an update of ten critics over that of two, at most."""


def ensembles() -> Iterator[Line]:
    """Updates of SAC-N and EDAC with 2, 10 and 50 critics, per second of one core."""
    for name, weight in (("sac-n", 0.0), ("edac", 1.0)):
        algorithms = {count: EDAC(critics=count, diversity_weight=weight) for count in COUNTS}
        yield from _rates(name, algorithms)
        compiling = {count: _seconds_to_compile(algorithm) for count, algorithm in algorithms.items()}
        yield Line(f"{name}, 2 critics: time to compile", compiling[2], "core seconds")
        for count in (10, 50):
            ratio, goal = compiling[count] / compiling[2], COMPILE_GOAL if count == 10 else None
            yield Line(
                f"{name}, {count} critics: time to compile over 2 critics", ratio, "", goal, below=True
            )


def _rates(name: str, algorithms: dict[int, EDAC]) -> Iterator[Line]:
    works = {
        str(n): updates(make_training(algorithm, None), COUNTS[n]) for n, algorithm in algorithms.items()
    }
    rate = rates(works | {"peak": peak_flops(1)}, seconds=2.0, clock=time.process_time)
    yield Line(f"{name}: sgemm peak", rate["peak"] / 1e9, "GFLOP per core second")
    for count, algorithm in algorithms.items():
        flops = needed(algorithm, None, Sizes()).flops
        yield Line(f"{name}, {count} critics: rate", rate[str(count)], "updates per core second")
        yield Line(
            f"{name}, {count} critics: needed FLOPs over peak", rate[str(count)] * flops / rate["peak"]
        )


def _seconds_to_compile(algorithm: EDAC) -> float:
    """Return the time of all cores for tracing and compiling an update."""
    jax.clear_caches()
    start = time.process_time()
    compile_update(algorithm, None)
    return time.process_time() - start
