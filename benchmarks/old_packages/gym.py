"""The interface of gym 0.21 that the peers' scripts use, over Gymnasium."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

import gymnasium
import numpy as np


class Env(gymnasium.Wrapper):
    """Resets return an observation alone, steps one end instead of two."""

    def reset(self, **options: Any) -> Any:
        return self.env.reset(**options)[0]

    def step(self, action: Any) -> Any:
        observation, reward, terminal, timeout, info = self.env.step(action)
        return observation, reward, terminal or timeout, info

    def get_normalized_score(self, score: float) -> float:
        import d4rl

        return d4rl.get_normalized_score("", score)


class VectorEnv(gymnasium.vector.VectorWrapper):
    """The same of several environments, each in a process of its own."""

    def __init__(self, env: gymnasium.vector.AsyncVectorEnv, make_env: Any) -> None:
        super().__init__(env)
        self.env_fns = [make_env]

    def reset(self, **options: Any) -> Any:
        return self.env.reset(**options)[0]

    def step(self, actions: Any) -> Any:
        observations, rewards, terminals, timeouts, infos = self.env.step(actions)
        return observations, rewards, np.logical_or(terminals, timeouts), infos


def make(name: str) -> Env:
    return Env(gymnasium.make(os.environ["ENVIRONMENT"]))


def make_vector(name: str, num_envs: int) -> VectorEnv:
    def make_env() -> gymnasium.Env:
        return gymnasium.make(os.environ["ENVIRONMENT"])

    return VectorEnv(gymnasium.vector.AsyncVectorEnv([make_env] * num_envs), make_env)


vector = SimpleNamespace(make=make_vector)
