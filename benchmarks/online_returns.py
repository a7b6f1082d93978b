"""Compare SAC of an online run with Stable-Baselines3's by return: `python -m benchmarks.online_returns`.

Both begin with 1,000 random steps, which ours takes as its dataset, and then do an update per step, at equal
settings: batches of 256, step sizes of 3e-4, targets that move by 0.005, a learned temperature. The
interpreter is that of an environment with Stable-Baselines3. Returns are means of 10 episodes without noise.
CPU times hold all that a process does behind the random steps, evaluations and compilation included.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import cocoa
from benchmarks.sb3 import WARMUP
from cocoa.algos.sac import SAC
from cocoa.runs.metrics import read_metrics

Curve = tuple[list[float], float]
"""Mean returns, and CPU seconds per 1,000 steps."""


def ours(env: str, steps: int, every: int, seed: int, hidden: Sequence[int]) -> Curve:
    """Return the curve of one seed; `steps` and `every` count the steps behind the random ones."""
    with tempfile.TemporaryDirectory() as folder:
        random = {"sets": ("random",), "transitions": WARMUP, "steps": WARMUP + 50, "eval_every": WARMUP + 50}
        sets = cocoa.collect(env, **random, seeds=[seed], folder=f"{folder}/sets")
        start = time.process_time()
        policy = cocoa.fit(
            SAC(hidden=tuple(hidden)),
            next(sets.glob("*.hdf5")),
            env=env,
            seeds=[seed],
            updates=0,
            online={"steps": steps},
            log_every=every,
            eval_every=every,
            runs_dir=f"{folder}/runs",
        )
        spent = time.process_time() - start
        returns = read_metrics(policy.folder / "metrics.csv").values("evaluation/return")[1][0]
    return [float(x) for x in returns], 1000 * spent / steps


def theirs(python: str, env: str, steps: int, every: int, seed: int, hidden: Sequence[int]) -> Curve:
    """Return the curve of Stable-Baselines3's SAC."""
    script = str(Path(__file__).with_name("sb3.py"))
    numbers = map(str, (steps, every, seed, *hidden))
    done = subprocess.run(
        [python, script, "returns", env, *numbers], check=True, stdout=subprocess.PIPE, text=True
    )
    return tuple(json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    """Print a row of a Markdown table for each curve."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.online_returns", description=__doc__)
    parser.add_argument("--python", default=sys.executable, help="an interpreter with Stable-Baselines3")
    parser.add_argument("--env", default="InvertedPendulum-v4")
    parser.add_argument("--steps", type=int, default=6000, help="behind the random ones")
    parser.add_argument("--every", type=int, default=1000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--hidden", type=int, nargs="+", default=(256, 256))
    options = parser.parse_args()
    shared = options.env, options.steps, options.every
    columns = range(options.every, options.steps + 1, options.every)
    print(f"| SAC | seed | {' | '.join(f'{x:,}' for x in columns)} | CPU s per 1,000 steps |", flush=True)
    print("|---" * (3 + len(columns)) + "|", flush=True)
    for seed in range(options.seeds):
        for who, (returns, spent) in (
            ("ours", ours(*shared, seed, options.hidden)),
            ("Stable-Baselines3", theirs(options.python, *shared, seed, options.hidden)),
        ):
            cells = " | ".join(f"{x:.1f}" for x in returns)
            print(f"| {who} | {seed} | {cells} | {spent:.2f} |", flush=True)


if __name__ == "__main__":
    main()
