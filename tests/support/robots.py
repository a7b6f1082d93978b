"""Environments for tests of what environments may do: a vector that moves by the actions, with faults."""

import contextlib

import gymnasium
import numpy as np
from gymnasium.spaces import Box

import cocoa

LIMIT = 10


class Robot(gymnasium.Env):
    """Moves by half of the action from a random state; the reward is the first coordinate."""

    observation_space, action_space = Box(-9, 9, (3,), np.float32), Box(-1, 1, (2,), np.float32)
    opened = 0
    """Instances that are open; each subclass that `registered` makes counts its own."""

    def __init__(self):
        type(self).opened += 1

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.state = self.np_random.normal(size=3).astype(np.float32)
        return self.state, {}

    def step(self, action):
        self.state = 0.9 * self.state + 0.5 * np.append(action, 0).astype(np.float32)
        return self.state, float(self.state[0]), False, False, {}

    def close(self):
        type(self).opened -= 1


@contextlib.contextmanager
def registered(env="Robot-v0", base=Robot, max_episode_steps=LIMIT, **methods):
    """Register a subclass of `base` with these methods, and yield it."""
    kind = type("TestRobot", (base,), {"opened": 0, **methods})
    gymnasium.registry.pop(env, None)
    gymnasium.register(env, entry_point=kind, max_episode_steps=max_episode_steps)
    try:
        yield kind
    finally:
        gymnasium.registry.pop(env, None)


def dataset(env="Robot-v0"):
    """500 random transitions in episodes of ten."""
    rng = np.random.default_rng(0)
    return cocoa.Dataset.from_arrays(
        observations=rng.normal(size=(500, 3)),
        actions=rng.uniform(-1, 1, (500, 2)),
        rewards=rng.normal(size=500),
        terminals=np.zeros(500),
        timeouts=np.arange(1, 501) % LIMIT == 0,
        env=env,
    )


def failing_after(steps, error):
    """A step that fails for good after so many steps of all instances."""
    taken = []

    def step(self, action):
        taken.append(1)
        if len(taken) > steps:
            raise error
        return Robot.step(self, action)

    return step
