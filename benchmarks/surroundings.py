"""Measure what stands around the updates: `python -m benchmarks.surroundings`. Linux only.

Loading, starting, evaluating, logging: each number beside its goal. Times are the best of several, as other
work on the machine only ever slows down.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
import h5py
import jax
import numpy as np

from benchmarks.setting import ACTION, STATE, Line, make_training, observe, rates
from cocoa.algos.iql import IQL
from cocoa.data import Scaling, load, unnormalized_batch
from cocoa.data.preprocessing import DataConfig
from cocoa.environments.spaces import spaces
from cocoa.training.episodes import SampledPolicy
from cocoa.training.evaluation import GROUPS, Actor, Evaluator

ROOT = Path(__file__).parents[1]
ENV = "HalfCheetah-v4"
"""Has the sizes of `benchmarks.setting`, and episodes that all last 1000 steps."""
ROWS, EPISODE = 1_000_000, 1000
ROUNDS = 3
LIMIT = 300.0
"""Seconds after which a start counts as failed."""


def surroundings() -> Iterator[Line]:
    """Loading a million transitions, starting a run, evaluating, logging and saving."""
    yield from loading()
    yield from starting()
    yield from evaluating()
    yield from keeping()


def loading() -> Iterator[Line]:
    """A million transitions from a gzip HDF5 file to what is trained on."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "million.hdf5"
        write_dataset(path, ROWS)
        runs = [_loaded(path) for _ in range(ROUNDS)]
    seconds, memory, size = (min(column) for column in zip(*runs, strict=True))
    yield Line(f"loading {ROWS:,} transitions", seconds, "s", 2, below=True)
    yield Line("loading: peak memory over the transitions' size", memory / size, "", 2, below=True)


def write_dataset(path: Path, rows: int) -> None:
    """Write random transitions as D4RL does: gzip, its chunks chosen by h5py."""
    rng = np.random.default_rng(0)
    states = rng.standard_normal((rows + 1, STATE), np.float32).cumsum(axis=0)
    last = np.arange(1, rows + 1) % EPISODE == 0
    columns = {
        "observations": states[:-1],
        "actions": rng.uniform(-1, 1, (rows, ACTION)).astype(np.float32),
        "rewards": rng.standard_normal(rows, np.float32),
        "terminals": np.zeros(rows, bool),
        "timeouts": last,
        "next_observations": states[1:],
    }
    with h5py.File(path, "w") as file:
        file.attrs["env_id"] = ENV
        for name, column in columns.items():
            file.create_dataset(name, data=column, compression="gzip")


def _loaded(path: Path) -> tuple[float, float, float]:
    """Return seconds and bytes that loading takes in a process of its own, and the transitions' bytes."""
    command = [sys.executable, "-m", "benchmarks.surroundings", str(path)]
    seconds, memory, size = json.loads(subprocess.check_output(command, cwd=ROOT))
    return seconds, memory, size


def load_here(path: str) -> tuple[float, int, int]:
    """Load and prepare in this process; see `_loaded`."""
    spaces(ENV)  # imports the simulator, whose memory is not the data's
    before = _memory("VmRSS")
    start = time.perf_counter()
    dataset = load(path)
    batch, _ = unnormalized_batch(
        dataset, DataConfig(reward_normalization="return_range", observation_normalization=True)
    )
    seconds = time.perf_counter() - start
    return seconds, _memory("VmHWM") - before, sum(x.nbytes for x in jax.tree.leaves(batch))


def _memory(name: str) -> int:
    """Return a number of /proc/self/status, which unlike getrusage's forgets the parent process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith(name)).split()[1])


def starting() -> Iterator[Line]:
    """From pressing Enter to the first finished update."""
    cold, warm = [], []
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory() as cache:
            cold.append(_first_update(cache))
            warm.append(_first_update(cache))
    yield Line("start to first update, nothing compiled", min(cold), "s", 8, below=True)
    yield Line("start to first update, compiled before", min(warm), "s", 4, below=True)


def _first_update(cache: str) -> float:
    """Return the seconds until a new run has logged its first update; then it is stopped."""
    with tempfile.TemporaryDirectory() as runs:
        metrics = Path(runs) / "hopper-demo" / "iql" / "start" / "metrics.csv"
        fields = f"runs_dir={runs} cache_dir={cache} name=start wandb=off log_every=1".split()
        command = [sys.executable, "train.py", "algo=iql", "dataset=hopper-demo", *fields]
        start = time.perf_counter()
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            while not (metrics.exists() and "training/" in metrics.read_text()):
                if process.poll() is not None or time.perf_counter() - start > LIMIT:
                    raise RuntimeError(f"no update came of {' '.join(command)}")
                time.sleep(0.01)
            return time.perf_counter() - start
        finally:
            process.terminate()
            process.wait()


def evaluating() -> Iterator[Line]:
    """An evaluation, over the same steps of the same environments with the actions known beforehand."""
    bounds = spaces(ENV)
    half_range = (bounds.action_high - bounds.action_low) / 2
    scaling = Scaling(np.zeros(STATE, np.float32), np.ones(STATE, np.float32), 0 * half_range, half_range)
    evaluator = Evaluator(ENV, (0,), 10, scaling)
    algorithm = IQL()
    training = make_training(algorithm, None, rows=256)
    (policy,) = Actor(algorithm, observe(None)[0], training.mesh).policies(training.init().learner)
    assert not isinstance(policy, SampledPolicy)
    actions: list[np.ndarray] = []

    def recorded(states: np.ndarray) -> Any:
        actions.append(np.asarray(policy(states)))
        return actions[-1]

    evaluator.evaluate([recorded], 0)
    turns = zip(*(actions[group::GROUPS] for group in range(GROUPS)), strict=True)
    known = [scaling.to_environment(np.concatenate(turn)) for turn in turns]
    vectorised = gymnasium.make_vec(ENV, 10, vectorization_mode="sync")
    works: dict[str, Callable[[], Any]] = {
        "evaluation": lambda: evaluator.evaluate([policy], 0),
        "vectorised": lambda: _step(vectorised, known),
        "bare": lambda: _step_each(evaluator.instances, known),
    }
    measured = rates({name: partial(_once, work) for name, work in works.items()}, ROUNDS)
    evaluator.close()
    vectorised.close()
    ratio = {name: rate / measured["evaluation"] for name, rate in measured.items()}
    yield Line("evaluation over stepping Gymnasium's vector", ratio["vectorised"], "", 1.25, below=True)
    yield Line("evaluation over stepping each environment", ratio["bare"])


def _once(work: Callable[[], Any]) -> float:
    work()
    return 1


def _step(envs: gymnasium.vector.VectorEnv, actions: list[np.ndarray]) -> None:
    """Run an episode in all environments at once."""
    envs.reset(seed=0)
    for action in actions:
        envs.step(action)


def _step_each(envs: list[gymnasium.Env], actions: list[np.ndarray]) -> None:
    """Run an episode in each environment, and do nothing else."""
    for index, env in enumerate(envs):
        env.reset(seed=index)
    for action in actions:
        for env, one in zip(envs, action, strict=True):
            env.step(one)


def keeping() -> Iterator[Line]:
    """What logs and checkpoints take of a run."""
    with tempfile.TemporaryDirectory() as folder:
        fields = f"runs_dir={folder} cache_dir={folder} name=run wandb=off updates=20000".split()
        command = [sys.executable, "train.py", "algo=iql", "dataset=hopper-demo", *fields]
        subprocess.check_call(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        summary = json.loads((Path(folder) / "hopper-demo" / "iql" / "run" / "summary.json").read_text())
    seconds = summary["seconds"]
    share = (seconds["logging"] + seconds["checkpoints"]) / sum(seconds.values())
    yield Line("logs and checkpoints of a run's time", 100 * share, "%", 1, below=True)


def main() -> None:
    """Print the lines; or with a file, what loading it here takes."""
    if len(sys.argv) > 1:
        print(json.dumps(load_here(sys.argv[1])))
        return
    for line in surroundings():
        print(line, flush=True)


if __name__ == "__main__":
    main()
