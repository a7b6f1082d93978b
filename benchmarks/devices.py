"""What a second device gives to two seeds of IQL."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

from benchmarks.setting import Line, make_training, rates, updates
from cocoa.algos.iql import IQL
from cocoa.training.devices import offer_cores, seeds_mesh

SEEDS, UPDATES = 2, 50


def devices() -> Iterator[Line]:
    """Two seeds on one device of one core, on one of two cores, and on two of one core each."""
    one, wide, two = (_measured(cores, count) for cores, count in ((1, 1), (2, 1), (2, 2)))
    yield Line("1 device of 1 core: rate", one, "updates/s")
    yield Line("1 device of 2 cores: rate", wide, "updates/s")
    yield Line("2 devices of 1 core: rate", two, "updates/s")
    yield Line("2 devices over 1, of 1 core each", two / one, "", 1.6)
    yield Line("2 devices of 1 core over 1 of 2 cores", two / wide)


def _measured(cores: int, count: int) -> float:
    """Return updates/s of each seed in a process with `cores` cores and `count` devices."""
    command = [sys.executable, "-m", "benchmarks.devices", str(cores), str(count)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def _measure(cores: int, count: int) -> float:
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
    offer_cores(count, SEEDS)
    training = make_training(IQL(), None, seeds=SEEDS, mesh=seeds_mesh(SEEDS, count))
    return rates({"": updates(training, UPDATES)})[""]


if __name__ == "__main__":
    print(_measure(*map(int, sys.argv[1:])))
