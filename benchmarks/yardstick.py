"""Compare updates per second with PyTorch's: `python -m benchmarks.yardstick`.

Both train on the same synthetic transitions, of the size of D4RL's locomotion data, with our default
settings. They take turns, and the best of several rounds counts, as other work on the machine only ever slows
down.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from functools import cache

import jax
import numpy as np

from algos import REGISTRY, Batch
from algos.networks import Networks
from cocoa.config import Config
from cocoa.training.loop import Training

try:
    import torch  # type: ignore[import-not-found]  # an extra, which a type checker may not find

    from benchmarks import pytorch
except ModuleNotFoundError as missing:
    if missing.name != "torch":
        raise
    sys.exit("PyTorch is not installed, with which ours is compared: pip install -e '.[bench]'")

NAMES = ("iql", "td3_bc", "cql")
GOAL = 1.7
"""How many times as fast as the better PyTorch ours is to be."""
OBSERVATION_DIM, ACTION_DIM, ROWS = 17, 6, 1_000_000
_FIRST = 20  # updates after which the speed is guessed


@cache
def data() -> Batch:
    """Return random transitions."""
    rng = np.random.default_rng(0)
    columns = {
        "observation": rng.standard_normal((ROWS, OBSERVATION_DIM), np.float32),
        "action": rng.uniform(-1, 1, (ROWS, ACTION_DIM)).astype(np.float32),
        "reward": rng.standard_normal(ROWS, np.float32),
        "terminal": (rng.random(ROWS) < 0.001).astype(np.float32),
        "next_observation": rng.standard_normal((ROWS, OBSERVATION_DIM), np.float32),
    }
    return Batch(**columns)  # type: ignore[arg-type]


def all_threads() -> int:
    """Return how many threads this process may use at a time."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def rate(run: Callable[[int], None], seconds: float) -> float:
    """Return the updates per second of `run(updates)` over about so many seconds."""
    first = _timed(run, _FIRST)
    updates = max(_FIRST, int(_FIRST / first * seconds))
    return updates / _timed(run, updates)


def _timed(run: Callable[[int], None], updates: int) -> float:
    start = time.perf_counter()
    run(updates)
    return time.perf_counter() - start


def measure(name: str, threads: int, seconds: float) -> float:
    """Return PyTorch's updates per second of an algorithm, on so many threads."""
    torch.set_num_threads(threads)
    algorithm = REGISTRY[name]()
    learner = pytorch.IN_PYTORCH[type(algorithm)](algorithm, OBSERVATION_DIM, ACTION_DIM, Config.updates)
    rows = pytorch.Batch(**{key: torch.from_numpy(column) for key, column in vars(data()).items()})

    def run(updates: int) -> None:
        for _ in range(updates):
            batch = rows.draw(Config.batch_size)
            learner.update(batch, *learner.noise(batch))

    run(_FIRST)
    return rate(run, seconds)


@cache
def ours(name: str) -> Callable[[int], None]:
    """Return a function that trains our algorithm for so many updates; it is compiled already."""
    algorithm = REGISTRY[name]()
    networks = Networks(ACTION_DIM, algorithm.hidden)
    device_data = jax.tree.map(jax.numpy.asarray, data())
    training = Training(algorithm, networks, device_data, (0,), Config.updates, Config.batch_size)
    state = training.init()

    def run(updates: int) -> None:
        nonlocal state
        state, metrics = training.chunk(state, 0, updates)
        jax.block_until_ready((state, metrics))

    run(_FIRST)
    return run


def compare(name: str, seconds: float, rounds: int) -> tuple[float, float, float]:
    """Return the best updates per second of ours, of PyTorch on one thread, and on all."""
    run = ours(name)
    turns = [
        (rate(run, seconds), measure(name, 1, seconds), measure(name, all_threads(), seconds))
        for _ in range(rounds)
    ]
    best = [max(speeds) for speeds in zip(*turns, strict=True)]
    return best[0], best[1], best[2]


def main(arguments: list[str] | None = None) -> int:
    """Print a line per algorithm and return the exit status: 1 if a goal is missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.yardstick", description=__doc__)
    parser.add_argument("names", nargs="*", default=NAMES, help=f"of {', '.join(NAMES)}; all by default")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3, help="of which the best counts")
    options = parser.parse_args(arguments)
    if unknown := set(options.names) - set(NAMES):
        parser.error(f"there is no counterpart of {', '.join(unknown)}; there are {', '.join(NAMES)}")
    versions = f"torch {torch.__version__}, jax {jax.__version__}"
    print(f"Updates per second, best of {options.rounds} rounds; {versions}")
    heads = "ours", "torch, 1 thread", f"torch, {all_threads()} threads", "ours / better", "goal"
    print(f"{'':8}" + "".join(f"{head:>18}" for head in heads))
    ratios = []
    for name in options.names:
        mine, one, several = compare(name, options.seconds, options.rounds)
        ratios.append(mine / max(one, several))
        print(f"{name:8}{mine:18.1f}{one:18.1f}{several:18.1f}{ratios[-1]:18.2f}{GOAL:18}", flush=True)
    return int(min(ratios) < GOAL)


if __name__ == "__main__":
    sys.exit(main())
