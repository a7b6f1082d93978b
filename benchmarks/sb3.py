"""Stable-Baselines3's SAC at the settings of `cocoa collect`: prints what ours is compared with, as JSON.

It runs in an environment of its own, `pip install stable-baselines3 'gymnasium[mujoco]'`, and imports nothing
of this project: `python benchmarks/sb3.py rates HalfCheetah-v4 20000 1` for `benchmarks.online`, and
`python benchmarks/sb3.py returns Hopper-v4 6000 1000 0 256 256` for `benchmarks.online_returns`.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

WARMUP = 1000


def model(env: str, hidden: tuple[int, ...] = (256, 256), seed: int = 0, **settings: Any) -> Any:
    """Return an untrained model."""
    from stable_baselines3 import SAC  # type: ignore[import-not-found]  # another environment's

    fixed = {"learning_rate": 3e-4, "batch_size": 256, "tau": 0.005, "gamma": 0.99, "train_freq": 1}
    return SAC("MlpPolicy", env, policy_kwargs={"net_arch": [*hidden]}, seed=seed, **fixed, **settings)


def timed(work: Callable[[], Any], units: int) -> list[float]:
    """Return how many units a work does per second, and per second of a core."""
    start, cores = time.perf_counter(), time.process_time()
    work()
    return [units / (time.perf_counter() - start), units / (time.process_time() - cores)]


def rates(env: str, steps: int, threads: int) -> None:
    """Print rates and the return after all steps."""
    import gymnasium
    import stable_baselines3  # type: ignore[import-not-found]
    import torch  # type: ignore[import-not-found]
    from stable_baselines3.common.evaluation import evaluate_policy  # type: ignore[import-not-found]

    torch.set_num_threads(threads)
    stepping = model(env, learning_starts=0, gradient_steps=0)
    stepping.learn(100)
    found = {"stepping": timed(lambda: stepping.learn(2000), 2000)}
    trained = model(env, learning_starts=WARMUP, gradient_steps=1)
    trained.learn(WARMUP)
    rest = steps - WARMUP
    found["both"] = timed(lambda: trained.learn(rest, reset_num_timesteps=False), rest)
    episodes = evaluate_policy(trained, gymnasium.make(env), 10, return_episode_rewards=True)[0]
    found["updates"] = timed(lambda: trained.train(500, 256), 500)
    versions = {"stable-baselines3": stable_baselines3.__version__, "torch": torch.__version__}
    print(json.dumps({**found, "returns": [float(x) for x in episodes], "versions": versions}))


def returns(env: str, steps: int, every: int, seed: int, *hidden: int) -> None:
    """Print mean returns, each `every` steps behind the random ones, and CPU seconds per 1,000 steps."""
    import gymnasium
    import torch  # type: ignore[import-not-found]
    from stable_baselines3.common.evaluation import evaluate_policy  # type: ignore[import-not-found]

    torch.set_num_threads(1)
    trained, evaluation = (
        model(env, hidden, seed, learning_starts=WARMUP, gradient_steps=1),
        gymnasium.make(env),
    )
    evaluation.reset(seed=10_000 + seed)
    trained.learn(WARMUP)
    start, found = time.process_time(), []
    for _ in range(0, steps, every):
        trained.learn(every, reset_num_timesteps=False)
        found.append(float(evaluate_policy(trained, evaluation, 10, warn=False)[0]))
    print(json.dumps([found, 1000 * (time.process_time() - start) / steps]))


if __name__ == "__main__":
    {"rates": rates, "returns": returns}[sys.argv[1]](sys.argv[2], *map(int, sys.argv[3:]))
