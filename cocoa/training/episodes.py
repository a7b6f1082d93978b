"""Episodes of an evaluation, stepped in groups."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np

from cocoa.environments.spaces import described
from cocoa.errors import RunError
from cocoa.training.environments import scalar, success_of
from cocoa.training.faults import Fault

Policy = Callable[[np.ndarray], Any]
"""From states (..., O) in the environment's units to an array (..., A) of actions in [-1, 1]."""


@dataclass(frozen=True)
class SampledPolicy:
    """A policy that draws its actions: each episode has a key, and each of its steps its own draw."""

    act: Callable[[tuple[np.ndarray, np.ndarray, np.uint32]], Any]
    """From states (n, O), keys (n, 2) and the step's number to an array (n, A) of actions in [-1, 1]."""

    def begin(self, keys: np.ndarray) -> Policy:
        """Return the policy of episodes that begin, whose keys are (n, 2) uint32.

        Each call draws the actions (n, A) of the next step: row, key and step decide the draw.
        """
        steps = itertools.count()
        return lambda states: self.act((states, keys, np.uint32(next(steps))))


class Episode:
    """An episode that is being evaluated."""

    def __init__(self, env: gymnasium.Env, seed: int, number: int, row: int):
        """`row` is the episode's place in the arrays of its group."""
        self.env, self.seed, self.number, self.row = env, seed, number, row
        self.total = 0.0
        self.length = 0
        self.success = math.nan
        self.fault: Fault | None = None

    def find_fault(self, step: int, state: np.ndarray, action: np.ndarray | None) -> None:
        """Record the first number that is not finite; `action` led to `state` and to the last reward."""
        if self.fault is None:
            finite = {
                "action": action is None or np.isfinite(action).all(),
                "observation": np.isfinite(state).all(),
                "reward": math.isfinite(self.total),
            }
            for kind in (kind for kind, fine in finite.items() if not fine):
                self.fault = Fault(kind, self.seed, self.number, step)
                break


class Group:
    """Episodes that are stepped together; their actions are requested as soon as their states are known."""

    def __init__(
        self,
        name: str,
        episodes: Sequence[Episode],
        chances: Sequence[np.ndarray],
        shape: tuple[int, int],
        policy: Policy | SampledPolicy,
        to_environment: Callable[[Any], np.ndarray],
    ):
        """Reset the environments of `episodes`, of the id `name`.

        `chances` has three uint32 of each episode: the seed of the reset, and the key of a policy that draws.
        The policy is called with states of `shape` (rows, O), in which each episode has its own row: rounding
        may depend on the number of rows, but not on the values in the others.
        """
        self._name, self._to_environment = name, to_environment
        self._states = np.zeros(shape, np.float32)
        keys = np.zeros((shape[0], 2), np.uint32)
        self._running = list(episodes)
        self._step = 0
        for episode, (reset, *key) in zip(episodes, chances, strict=True):
            keys[episode.row] = key
            try:
                self._states[episode.row] = episode.env.reset(seed=int(reset))[0]
            except Exception as error:
                raise self._failure(episode, error) from error
            episode.find_fault(0, self._states[episode.row], None)
        self._policy = policy.begin(keys) if isinstance(policy, SampledPolicy) else policy
        self._actions = self._policy(self._states)

    def advance(self) -> bool:
        """Step all running episodes, and tell whether any of them goes on."""
        # This waits for the actions: only then may the states change, which the policy reads where they are.
        actions = self._to_environment(self._actions)
        self._step += 1
        stepped, still_running, total = self._running, [], 0.0
        for episode in stepped:
            try:
                state, reward, terminated, truncated, info = episode.env.step(actions[episode.row])
                self._states[episode.row] = state
                episode.total += scalar(reward)
                over = bool(terminated or truncated)
            except Exception as error:
                raise self._failure(episode, error, actions[episode.row]) from error
            total += episode.total
            if over:
                episode.length, episode.success = self._step, success_of(info)
            else:
                still_running.append(episode)
        if not (math.isfinite(total) and np.isfinite(self._states).all() and np.isfinite(actions).all()):
            for episode in stepped:
                episode.find_fault(self._step, self._states[episode.row], actions[episode.row])
        self._running = still_running
        if still_running:
            self._actions = self._policy(self._states)
        return bool(still_running)

    def _failure(self, episode: Episode, error: Exception, action: np.ndarray | None = None) -> RunError:
        cause = ""
        if action is not None and not np.isfinite(action).all():
            cause = " The policy's action was not finite: the training has diverged."
        return RunError(
            f"Environment {self._name!r} failed in an evaluation (seed {episode.seed}, episode "
            f"{episode.number}, step {self._step}): {described(error)}.{cause}"
        )
