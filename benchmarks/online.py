"""Compare online training with Stable-Baselines3's SAC: `python -m benchmarks.online --python <interpreter>`.

Both train one seed in one environment: 1000 random steps, then an update per step, batches of 256, two hidden
layers of 256. The interpreter is that of an environment with Stable-Baselines3. Rates are per second and
per second of a core, since other work on the machine hardly changes the latter.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax

from benchmarks.sb3 import WARMUP, timed
from benchmarks.setting import Line
from cocoa.collection.settings import collection
from cocoa.collection.setup import Setup
from cocoa.collection.training import PolicyTraining
from cocoa.dynamics.xla.numerics import numerics
from cocoa.runs.progress import Stopper
from cocoa.training.devices import cores

NAMES = {"both": "steps with updates", "stepping": "steps alone", "updates": "updates alone"}


def online(python: str, env: str, steps: int, threads: int) -> Iterator[Line]:
    """Rates of both, and the mean return of ten episodes after all steps."""
    theirs = json.loads(
        subprocess.run(
            [python, str(Path(__file__).with_name("sb3.py")), "rates", env, str(steps), str(threads)],
            check=True,
            capture_output=True,
            text=True,
        ).stdout.splitlines()[-1]
    )
    versions = " ".join(f"{name} {version}" for name, version in theirs["versions"].items())
    print(f"{env}, {steps:,} steps; {versions}, {threads} threads; jax {jax.__version__}", flush=True)
    mine = ours(env, steps)
    for kind, name in NAMES.items():
        for unit, per in enumerate(("second", "core second")):
            yield Line(f"{name}, ours", mine[kind][unit], f"per {per}")
            yield Line(f"{name}, Stable-Baselines3", theirs[kind][unit], f"per {per}")
    for who, found in (("ours", mine), ("Stable-Baselines3", theirs)):
        yield Line(f"return after {steps:,} steps, {who}", sum(found["returns"]) / len(found["returns"]))


def ours(env: str, steps: int) -> dict[str, Any]:
    """Return rates per second and per core second, and the returns after all steps."""
    settings = collection({"env": env, "steps": steps, "warmup": WARMUP, "eval_every": steps})
    with tempfile.TemporaryDirectory() as folder, numerics(), Stopper(print) as stopper:
        training = PolicyTraining(Setup(settings, Path(folder), print, stopper))
        blocks, step = training.online, 0
        state = training.start

        def advance(count: int) -> Callable[[], None]:
            def work() -> None:
                nonlocal state, step
                for _ in range(count // settings.every):
                    state, _, _ = blocks.block(state, step)
                    step += settings.every
                jax.block_until_ready(state.learner)

            return work

        advance(WARMUP + settings.every)()  # compiles
        rest = steps - step
        found: dict[str, Any] = {"both": timed(advance(rest), rest)}
        found["returns"] = training.evaluator.evaluate(training.actor.policies(state.learner), steps).returns[
            0
        ]
        policies = blocks.sampler.policies(state.learner)
        behaviour = blocks.sampler.behaviour(policies, 9)
        found["stepping"] = timed(lambda: blocks.stepper.advance(behaviour, 0, 2000), 2000)

        def updates() -> None:
            jax.block_until_ready(blocks.training.chunk(state, 0, 500))

        found["updates"] = timed(updates, 500)
        training.close()
    return found


def main() -> None:
    """Print the lines."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.online", description=__doc__)
    parser.add_argument("--python", default=sys.executable, help="an interpreter with Stable-Baselines3")
    parser.add_argument("--env", default="HalfCheetah-v4")
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument("--threads", type=int, default=cores(), help="of PyTorch; all cores by default")
    options = parser.parse_args()
    for line in online(options.python, options.env, options.steps, options.threads):
        print(line, flush=True)


if __name__ == "__main__":
    main()
