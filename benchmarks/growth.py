"""How time and memory grow with the size of the problem, beside what the mathematics predicts."""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from benchmarks.setting import STATE, Line, make_training, observe, rates, updates
from cocoa.algos import REGISTRY
from cocoa.anchors import Seek
from cocoa.dynamics.config import EnsembleConfig
from cocoa.dynamics.xla.compiler import compiler_options

_TURNS = 2
"""Each point is measured so often and the least time counts: other tenants can spoil a whole process."""
FIGURE = Path(__file__).with_name("growth.png")


def _update(*, rows: int = 10_000, seeds: int = 1, batch_size: int = 256) -> float:
    """Return the seconds of an update of IQL+COCOA, for all seeds."""
    sizes: dict[str, Any] = {"rows": rows, "seeds": seeds, "batch_size": batch_size}
    training = make_training(REGISTRY["iql"](), Seek(), anchored=False, **sizes)
    length = max(10, 100 * 256 // (batch_size * seeds))
    return 1 / rates({"": updates(training, length)})[""]


def _anchors(*, elites: int = 5, horizon: int = 1) -> float:
    """Return the seconds that the anchors of 16,384 states take."""
    see, _ = observe(Seek(horizon=horizon), dynamics=EnsembleConfig(elites=elites))
    states = jnp.asarray(np.random.default_rng(0).normal(size=(16_384, STATE)), jnp.float32)
    find = jax.jit(lambda see, x: see(x), compiler_options=compiler_options())
    jax.block_until_ready(find(see, states))
    return 1 / rates({"": lambda: jax.block_until_ready(find(see, states)) is not None})[""]


@dataclass(frozen=True)
class Axis:
    """A size that is varied, all others being kept."""

    name: str
    sizes: tuple[int, ...]
    seconds: Callable[..., float]
    """Takes the size by the name."""
    predicted: Callable[[int], float]
    """Time by size, up to a factor."""


AXES = (
    Axis("rows", (10_000, 100_000, 1_000_000, 10_000_000), _update, lambda rows: 1),
    Axis("batch_size", (64, 256, 1024, 4096), _update, lambda size: size),
    Axis("seeds", (1, 2, 4, 8), _update, lambda seeds: seeds),
    Axis("elites", (1, 2, 5, 10, 20), _anchors, lambda elites: elites),
    Axis("horizon", (1, 2, 5, 10), _anchors, lambda horizon: horizon),
)


def growth() -> Iterator[Line]:
    """Time and peak memory against sizes, each point in its own process; draws benchmarks/growth.png."""
    found: dict[str, list[tuple[float, float]]] = {}
    for axis in AXES:
        turns = [[_measured(axis.name, size) for size in axis.sizes] for _ in range(_TURNS)]
        found[axis.name] = [min(points) for points in zip(*turns, strict=True)]
        for size, (seconds, memory) in zip(axis.sizes, found[axis.name], strict=True):
            grown = seconds / found[axis.name][0][0]
            yield Line(f"{axis.name}={size:,}: seconds", seconds, "s")
            yield Line(f"{axis.name}={size:,}: peak memory", memory / 1e9, "GB")
            expected = axis.predicted(size) / axis.predicted(axis.sizes[0])
            yield Line(f"{axis.name}={size:,}: time over predicted growth", grown / expected)
    draw(found, FIGURE)


def _measured(name: str, size: int) -> tuple[float, float]:
    """Return seconds and peak bytes, measured in another process."""
    command = [sys.executable, "-m", "benchmarks.growth", name, str(size)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return tuple(json.loads(done.stdout))


def draw(found: dict[str, list[tuple[float, float]]], path: Path) -> None:
    """Draw (seconds, bytes) of each axis's sizes, seconds beside the prediction through the first."""
    figure = Figure(figsize=(13, 5), layout="constrained")
    panels = figure.subplots(2, len(AXES), sharex="col")
    for (above, below), axis in zip(panels.T, AXES, strict=True):
        seconds, memory = np.array(found[axis.name]).T
        predicted = np.array([axis.predicted(size) for size in axis.sizes], float)
        above.loglog(axis.sizes, 1e3 * seconds, "o-", label="measured")
        above.loglog(
            axis.sizes, 1e3 * seconds[0] * predicted / predicted[0], "k--", lw=1, label="predicted growth"
        )
        low, high = above.get_ylim()
        above.set_ylim(low / 2, 2 * high)
        below.semilogx(axis.sizes, memory / 1e9, "s-", color="C1")
        below.set_ylim(bottom=0)
        below.set_xticks(axis.sizes, [EngFormatter(places=0, sep="")(size) for size in axis.sizes])
        below.minorticks_off()
        above.set_title(
            "update of IQL+COCOA" if axis.seconds is _update else "anchors of 16,384 states", fontsize=9
        )
        below.set_xlabel(axis.name)
    panels[0, 0].set_ylabel("milliseconds")
    panels[1, 0].set_ylabel("peak memory (GB)")
    panels[0, 0].legend(fontsize=8)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Measure a single point: seconds and peak memory in bytes.")
    parser.add_argument("axis", choices=[axis.name for axis in AXES])
    parser.add_argument("size", type=int)
    point = parser.parse_args()
    measure = next(axis.seconds for axis in AXES if axis.name == point.axis)
    seconds = measure(**{point.axis: point.size})
    print(json.dumps([seconds, 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss]))
