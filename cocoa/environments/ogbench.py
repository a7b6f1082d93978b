"""OGBench's environments: what they lack to repeat an episode."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gymnasium
import numpy as np

PREFIX = "ogbench:"
"""How their Gymnasium ids begin: with the module that registers them."""


class Seeded(gymnasium.Wrapper):
    """Plays the same episode after a reset with the same seed.

    OGBench's mazes draw starts and teleports from NumPy's global generator, which the seed of a reset does
    not touch. Here they draw from a generator of each instance. The arm's action space, which is made, with
    warnings, whenever it is asked for, is asked for once.
    """

    def __init__(self, env: gymnasium.Env):
        """`env` is one of OGBench's environments."""
        super().__init__(env)
        with _silent():
            self.action_space = env.action_space
        self._random = np.random.RandomState()
        self._teleports = getattr(env.unwrapped, "_teleport_info", None) is not None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict]:
        """Start an episode."""
        if seed is not None:
            self._random = np.random.RandomState(seed)
        with self._drawing(), _silent():
            return self.env.reset(seed=seed, options=options)

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict]:
        """Take a step."""
        if not self._teleports:
            return self.env.step(action)  # type: ignore[return-value]
        with self._drawing():
            return self.env.step(action)  # type: ignore[return-value]

    @contextmanager
    def _drawing(self) -> Iterator[None]:
        """Let NumPy's global generator stand where this instance's does, and put it back."""
        before = np.random.get_state()  # noqa: NPY002
        np.random.set_state(self._random.get_state())  # noqa: NPY002
        try:
            yield
        finally:
            self._random.set_state(np.random.get_state())  # noqa: NPY002
            np.random.set_state(before)  # noqa: NPY002


@contextmanager
def _silent() -> Iterator[None]:
    """Ignore warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
