"""Environments that are stepped to collect transitions, and what is recorded of each step.

An episode begins with a reset whose seed depends on the run's seed, the instance and the episode's number
alone. So the state of an environment, which in general cannot be saved, is restored by a reset and the
actions of the running episode.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from flax import struct

from cocoa.data import Scaling
from cocoa.environments.spaces import Spaces, close_environments, described, make_environment, spaces
from cocoa.errors import DataError, RunError
from cocoa.training.behaviour import Behaviour
from cocoa.training.environments import Environments, scalar
from cocoa.training.evaluation import spaces_of_data, within

ActionMap = Callable[[np.ndarray], np.ndarray]
"""From actions in [-1, 1] to the environment's units, within its bounds."""


@struct.dataclass
class Steps:
    """Consecutive steps of n instances of an environment for each seed: NumPy arrays (seeds, T, n, ...)."""

    state: Any
    """(..., O) float32."""
    action: Any
    """(..., A) float32, in [-1, 1]."""
    reward: Any
    """float32."""
    terminal: Any
    """bool: the next state has no future."""
    timeout: Any
    """bool: the episode was cut, and its next state is not terminal."""
    next_state: Any
    """(..., O) float32: as observed, also where an episode ends."""
    log_prob: Any
    """float32: log-density of the action."""
    qpos: Any
    """(..., P) float64: MuJoCo's positions before the step; P is 0 where there are none."""
    qvel: Any
    """(..., V) float64: MuJoCo's velocities."""

    @property
    def ends(self) -> np.ndarray:
        """Whether an episode ends with the step."""
        return self.terminal | self.timeout

    @classmethod
    def empty(cls, seeds: int, steps: int, instances: int, sizes: tuple[int, int, int, int]) -> Steps:
        """Return room for steps; `sizes` are O, A, P and V."""
        shape = seeds, steps, instances
        observation, action, positions, velocities = sizes
        vectors: dict[str, Any] = {
            "state": np.empty((*shape, observation), np.float32),
            "action": np.empty((*shape, action), np.float32),
            "next_state": np.empty((*shape, observation), np.float32),
            "qpos": np.empty((*shape, positions)),
            "qvel": np.empty((*shape, velocities)),
        }
        numbers = {name: np.empty(shape, np.float32) for name in ("reward", "log_prob")}
        flags = {name: np.empty(shape, bool) for name in ("terminal", "timeout")}
        return cls(**vectors, **numbers, **flags)


@dataclass(frozen=True)
class Running:
    """The episodes that run in all instances."""

    episodes: np.ndarray
    """(seeds, n): their numbers."""
    actions: Sequence[Sequence[np.ndarray]]
    """`actions[seed][instance]`: those since their resets, (steps, A) in [-1, 1]."""
    states: np.ndarray
    """(seeds, n, O): what was observed last."""


class Stepper:
    """The environments of all seeds: `instances` for each, stepped side by side."""

    def __init__(self, env: str, seeds: Sequence[int], instances: int, scaling: Scaling, stream: int):
        """`stream` is a number that makes the initial states other than those of another stepper.

        Raises DataError if the environments cannot be made or do not keep Gymnasium's interface, and
        ConfigError if their sizes are not those of the data.
        """
        self.env, self.seeds, self.instances = env, tuple(seeds), instances
        self._scaling, self._stream = scaling, stream
        bounds = spaces_of_data(env, scaling)
        resets = [self._reset_seed(seed, i, 0) for seed in seeds for i in range(instances)]
        zeros = np.zeros(len(bounds.action_low), np.float32)
        action = scaling.to_environment(zeros)
        made = self._made = Environments(env, resets, bounds.observation_dim, action)
        if len(made.instances) < len(resets):
            made.close()
            raise DataError(
                f"Only one instance of {env} can exist at a time, and {len(resets)} are needed: take one "
                "seed, and one instance for it."
            )
        self._instances: Any = np.array(made.instances, object).reshape(len(seeds), instances)
        self._to_environment = _action_map(scaling, bounds, made.instances[0])
        physics = _physics(made.instances[0])
        positions, velocities = (physics.qpos.size, physics.qvel.size) if physics else (0, 0)
        self._physics = [[_physics(env) for env in row] for row in self._instances] if physics else None
        self.sizes = bounds.observation_dim, len(bounds.action_low), positions, velocities
        """Of states, actions, and MuJoCo's positions and velocities."""
        self._episodes = np.zeros((len(seeds), instances), int)
        self._states = np.zeros((len(seeds), instances, bounds.observation_dim), np.float32)

    def start(self) -> None:
        """Begin the first episodes."""
        for instance in np.ndindex(self._episodes.shape):
            self._reset(instance)

    def restore(self, running: Running) -> bool:
        """Begin where the episodes were, and return whether the environments repeat what was observed.

        Raises RunError if an environment fails.
        """
        self._episodes[:] = running.episodes
        repeated = True
        for which in np.ndindex(self._episodes.shape):
            self._reset(which)
            actions = self._to_environment(running.actions[which[0]][which[1]])
            for number, action in enumerate(actions):
                try:
                    self._states[which] = self._instances[which].step(action)[0]
                except Exception as error:
                    raise RunError(
                        f"Environment {self.env!r} failed while episode {self._episodes[which]} of seed "
                        f"{self.seeds[which[0]]} was repeated, which was running when this stopped, at its "
                        f"step {number}: {described(error)}. Once that is mended, resume again."
                    ) from error
            if len(actions):
                repeated &= bool((self._states[which] == running.states[which]).all())
        return repeated

    def advance(self, behaviour: Behaviour, first: int, count: int) -> Steps:
        """Make `count` steps with all instances, the first of which has the number `first`.

        Raises RunError, which names the seed and the step, if an environment fails or returns a number that
        is not finite.
        """
        steps = Steps.empty(len(self.seeds), count, self._episodes.shape[1], self.sizes)
        for index in range(count):
            steps.state[:, index] = self._states
            chosen = [
                behaviour(row, steps.state[row, index], first + index) for row in range(len(self.seeds))
            ]
            for row, (actions, log_probs) in enumerate(chosen):
                steps.action[row, index] = actions
                steps.log_prob[row, index] = log_probs
                for instance, action in enumerate(self._to_environment(steps.action[row, index])):
                    self._step(steps, (row, index, instance), action)
        self._check(steps, first)
        return steps

    def close(self) -> None:
        """Close the environments."""
        self._made.close()

    def _step(self, steps: Steps, at: tuple[int, int, int], action: np.ndarray) -> None:
        """Step an instance, and record it at (seed, step, instance)."""
        which = at[0], at[2]
        if self._physics:
            physics = self._physics[at[0]][at[2]]
            steps.qpos[at], steps.qvel[at] = physics.qpos, physics.qvel
        try:
            state, reward, terminated, truncated, _ = self._instances[which].step(action)
            steps.next_state[at] = state
            steps.reward[at] = scalar(reward)
        except Exception as error:
            raise RunError(
                f"Environment {self.env!r} failed in episode {self._episodes[which]} of seed "
                f"{self.seeds[at[0]]}: {described(error)}."
            ) from error
        steps.terminal[at] = terminated
        steps.timeout[at] = truncated and not terminated
        self._states[which] = state
        if terminated or truncated:
            self._episodes[which] += 1
            self._reset(which)

    def _reset(self, which: tuple[int, ...]) -> None:
        """Begin the episode whose number is noted at (seed, instance)."""
        number = self._reset_seed(self.seeds[which[0]], which[1], int(self._episodes[which]))
        try:
            self._states[which] = self._instances[which].reset(seed=number)[0]
        except Exception as error:
            raise RunError(f"Environment {self.env!r} failed at reset: {described(error)}.") from error

    def _reset_seed(self, seed: int, instance: int, episode: int) -> int:
        entropy = [seed, self._stream, instance, episode]
        return int(np.random.SeedSequence(entropy).generate_state(1)[0])

    def _check(self, steps: Steps, first: int) -> None:
        names = {"action": "an action", "reward": "a reward", "next_state": "an observation"}
        for name, text in names.items():
            column = getattr(steps, name)
            if not np.isfinite(column).all():
                seed, step = np.argwhere(~np.isfinite(column))[0][:2]
                cause = "The training has diverged." if name == "action" else "Check the environment."
                raise RunError(
                    f"{text} is not finite at step {first + step:,} of seed {self.seeds[seed]} in "
                    f"{self.env}. {cause}".capitalize()
                )


def _physics(env: Any) -> Any:
    """Return MuJoCo's data of an environment, or None if it is not one of MuJoCo's."""
    data = getattr(getattr(env, "unwrapped", None), "data", None)
    return data if hasattr(data, "qpos") and hasattr(data, "qvel") else None


def action_map(env: str, scaling: Scaling) -> ActionMap:
    """Return the map from actions in [-1, 1] to those that a `Stepper` hands to the environment."""
    made = make_environment(env)
    try:
        return _action_map(scaling, spaces(env), made)
    finally:
        close_environments(made)


def _action_map(scaling: Scaling, bounds: Spaces, made: Any) -> ActionMap:
    low, high = within(bounds, made.action_space)
    return lambda actions: np.minimum(np.maximum(scaling.to_environment(actions), low), high)
