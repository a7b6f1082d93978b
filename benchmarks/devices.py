"""What a second device gives: `python -m benchmarks.devices` trains two seeds of IQL on one core and on two.

Each measurement is a process of its own, in which a core is a device; the best of three counts.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np

from algos import Batch
from algos.iql import IQL
from cocoa.training.devices import offer_cores, seeds_mesh
from cocoa.training.loop import Training
from cocoa.transduction import build_networks

SEEDS, TRANSITIONS, STATE, ACTION = (0, 1), 100_000, 17, 6
WARM_UP, UPDATES, REPETITIONS = 20, 200, 3


def measure(devices: int) -> float:
    """Return the updates per second that each of two seeds makes on so many cores of this process."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:devices])
    offer_cores(devices, len(SEEDS))
    rng = np.random.default_rng(0)

    def numbers(*shape: int) -> jax.Array:
        return jnp.asarray(rng.uniform(-1, 1, shape), jnp.float32)

    rows = TRANSITIONS
    data = Batch(
        numbers(rows, STATE), numbers(rows, ACTION), numbers(rows), jnp.zeros(rows), numbers(rows, STATE)
    )
    networks = build_networks(IQL(), None, ACTION)
    mesh = seeds_mesh(len(SEEDS), devices)
    training = Training(IQL(), networks, data, SEEDS, 1_000_000, 256, mesh=mesh)
    state, _ = training.chunk(training.init(), 0, WARM_UP)
    jax.block_until_ready(state)
    start = time.monotonic()
    state, _ = training.chunk(state, WARM_UP, UPDATES)
    jax.block_until_ready(state)
    return UPDATES / (time.monotonic() - start)


def best(devices: int) -> float:
    """Return the largest of several measurements, each in a new process."""
    command = [sys.executable, "-m", "benchmarks.devices", str(devices)]
    runs = [subprocess.run(command, check=True, capture_output=True, text=True) for _ in range(REPETITIONS)]
    return max(float(run.stdout) for run in runs)


def main() -> None:
    if len(sys.argv) > 1:
        print(measure(int(sys.argv[1])))
        return
    one, two = best(1), best(2)
    print(f"{len(SEEDS)} seeds of IQL, updates/s each: 1 device {one:.1f}, 2 devices {two:.1f}")
    print(f"ratio {two / one:.2f}")


if __name__ == "__main__":
    main()
