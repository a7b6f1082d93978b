"""Stable-Baselines3's SAC at the settings of `cocoa collect`: prints what `benchmarks.online` compares with.

It runs in an environment of its own, `pip install stable-baselines3 'gymnasium[mujoco]'`, and imports nothing
of this project: `python benchmarks/sb3.py HalfCheetah-v4 20000 1`.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

WARMUP = 1000


def model(env: str, **settings: Any) -> Any:
    """Return an untrained model."""
    from stable_baselines3 import SAC  # type: ignore[import-not-found]  # another environment's

    fixed = {"learning_rate": 3e-4, "batch_size": 256, "tau": 0.005, "gamma": 0.99, "train_freq": 1}
    return SAC("MlpPolicy", env, policy_kwargs={"net_arch": [256, 256]}, seed=0, **fixed, **settings)


def timed(work: Callable[[], Any], units: int) -> list[float]:
    """Return how many units a work does per second, and per second of a core."""
    start, cores = time.perf_counter(), time.process_time()
    work()
    return [units / (time.perf_counter() - start), units / (time.process_time() - cores)]


def main(env: str, steps: int, threads: int) -> None:
    """Print rates and the return after all steps as JSON."""
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


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
