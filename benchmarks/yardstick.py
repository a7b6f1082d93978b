"""Compare updates per second with PyTorch's: `python -m benchmarks.yardstick`.

Both train on synthetic transitions of one size, with our default settings and batches of 256. They take
turns, and each one's best counts, as other work on the machine only ever slows down.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from benchmarks.setting import ACTION, ROWS, STATE, Line, make_training, rates, updates
from cocoa.algos import REGISTRY
from cocoa.config.schema import Config

LENGTHS = {"iql": 100, "td3_bc": 100, "cql": 5, "edac": 5}
"""Updates per chunk of ours."""
SECONDS = 1.0
"""Length of a turn."""
GOAL = 1.7
"""Our rate over the rate of the better PyTorch, at least."""
_CHUNK = 10  # updates of PyTorch between two looks at the clock


def yardstick() -> Iterator[Line]:
    """Updates per second of ours beside eager PyTorch's, on one thread and on all."""
    _need_torch()
    for name, length in LENGTHS.items():
        works = {"ours": lasting(updates(make_training(REGISTRY[name](), None), length), SECONDS)}
        for threads in sorted({1, all_threads()}):
            works[f"torch, threads: {threads}"] = torch_updates(name, threads, SECONDS)
        measured = rates(works)
        for who, rate in measured.items():
            yield Line(f"{name}: {who}", rate, "updates/s")
        ours, *theirs = measured.values()
        yield Line(f"{name}: ours over the better torch", ours / max(theirs), "", GOAL)


def torch_updates(name: str, threads: int, seconds: float) -> Callable[[], float]:
    """Return a work that does PyTorch's updates for `seconds` seconds."""
    torch = _need_torch()
    from benchmarks.pytorch import IN_PYTORCH

    algorithm = REGISTRY[name]()
    learner = IN_PYTORCH[type(algorithm)](algorithm, STATE, ACTION, Config.updates)
    data = _data()

    def work() -> float:
        torch.set_num_threads(threads)
        for _ in range(_CHUNK):
            batch = data.draw(Config.batch_size)
            learner.update(batch, *learner.noise(batch))
        return _CHUNK

    work()
    return lasting(work, seconds)


def lasting(work: Callable[[], float], seconds: float) -> Callable[[], float]:
    """Return a work that repeats `work` for `seconds` seconds."""

    def repeated() -> float:
        end, amount = time.perf_counter() + seconds, 0.0
        while time.perf_counter() < end:
            amount += work()
        return amount

    return repeated


def all_threads() -> int:
    """Return how many threads this process may use at a time."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _data() -> Any:
    """Return random transitions as tensors."""
    torch = _need_torch()
    from benchmarks.pytorch_networks import Batch

    rng = np.random.default_rng(0)
    columns = {
        "observation": rng.standard_normal((ROWS, STATE), np.float32),
        "action": rng.uniform(-1, 1, (ROWS, ACTION)).astype(np.float32),
        "reward": rng.standard_normal(ROWS, np.float32),
        "terminal": np.zeros(ROWS, np.float32),
        "next_observation": rng.standard_normal((ROWS, STATE), np.float32),
    }
    return Batch(**{name: torch.from_numpy(column) for name, column in columns.items()})


def _need_torch() -> Any:
    """Return PyTorch, or end the program with how to get it."""
    try:
        import torch  # type: ignore[import-not-found]  # an extra, which a type checker may not find
    except ModuleNotFoundError:
        sys.exit("PyTorch is not installed, with which ours is compared: pip install -e '.[bench]'")
    return torch


def main() -> None:
    """Print the lines."""
    for line in yardstick():
        print(line, flush=True)


if __name__ == "__main__":
    main()
