"""Evaluation in the environment: episodes side by side, actions of some computed while others are stepped."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import gymnasium
import jax
import numpy as np
from jax.sharding import Mesh

from algos.base import Algorithm
from cocoa.compilation import Lean
from cocoa.data import Scaling
from cocoa.data.spaces import make_environment, spaces
from cocoa.decomposition import Observe
from cocoa.errors import ConfigError
from cocoa.training.devices import by_seed, copies, split

Policy = Callable[[np.ndarray], Any]
"""From states (..., O) in the environment's units to an array (..., A) of actions in [-1, 1]."""

GROUPS = 2
"""Into so many the episodes of a seed are divided: actions of one are computed while another is stepped."""


class Actor:
    """The deterministic policies of all seeds, spread over devices."""

    def __init__(self, algorithm: Algorithm, observe: Observe, per_seed: bool, mesh: Mesh):
        """`observe` maps states to observations; with `per_seed` its leaves have a leading axis of seeds.

        `mesh` holds the policies.
        """
        self.mesh = mesh
        self.observes = by_seed(split(observe, mesh)) if per_seed else [*copies(observe, mesh)]
        self.algorithm = algorithm
        self._programs: dict[Any, Lean] = {}

    def policies(self, learner: Any) -> list[Policy]:
        """Return the policy of each seed, whose actions may still be under way when a call returns.

        Each is called alone: a program of several would round in another way for each number of seeds, and on
        a CPU it would not be faster.
        """
        learners = by_seed(split(learner, self.mesh))
        each = len(learners) // len(self.observes)
        observes = [observe for observe in self.observes for _ in range(each)]
        given = [*zip(learners, observes, strict=True)]
        program = self._program(given[0])
        return [partial(program, program.leaves(one)) for one in given]

    def _program(self, given: tuple[Any, Observe]) -> Lean:
        """Return the compiled policy of a learner and its `observe`."""

        def act(given: tuple[Any, Observe], states: Any) -> Any:
            learner, observe = given
            return self.algorithm.act(learner, observe(states))

        structure = jax.tree.structure(given)
        if structure not in self._programs:
            state = jax.ShapeDtypeStruct((1, *given[1].mean.shape), np.float32)
            self._programs[structure] = Lean(act, given, state)
        return self._programs[structure]


class _Group:
    """Episodes that are stepped together; their actions are asked for as soon as their states are there."""

    def __init__(
        self,
        envs: list[gymnasium.Env],
        states: np.ndarray,
        policy: Policy,
        to_environment: Callable[[Any], np.ndarray],
    ):
        self.returns = np.zeros(len(envs))
        self._envs, self._states, self._policy = envs, states, policy
        self._to_environment = to_environment
        self._running = list(range(len(envs)))
        self._actions = policy(states)

    def advance(self) -> bool:
        """Make a step, and tell whether any episode goes on."""
        # This waits for the actions: only then may the states change, which the policy reads where they are.
        actions = self._to_environment(self._actions)
        still_running = []
        for index in self._running:
            state, reward, terminated, truncated, _ = self._envs[index].step(actions[index])
            self._states[index] = state
            self.returns[index] += float(reward)
            if not (terminated or truncated):
                still_running.append(index)
        self._running = still_running
        if still_running:
            self._actions = self._policy(self._states)
        return bool(still_running)


class Evaluator:
    """Runs full episodes of `env_id` for every seed; environments are made once and kept."""

    def __init__(self, env_id: str, seeds: tuple[int, ...], episodes: int, scaling: Scaling):
        """`scaling` turns actions into the environment's units.

        Raises ConfigError if the environment does not exist, or is not the one that the data are from.
        """
        self.seeds = seeds
        self.episodes = episodes
        self.scaling = scaling
        self._envs = [make_environment(env_id) for _ in range(len(seeds) * episodes)]
        self._low, self._high = self._check(env_id)

    def evaluate(self, policies: Sequence[Policy], step: int) -> np.ndarray:
        """Return the raw return of each episode, (seeds, episodes) float64, of a policy for each seed.

        An episode starts from a state that depends on its seed, `step` and number alone, so that a resumed
        run repeats it. It ends at a terminal or at the environment's time limit.
        """
        parts = np.array_split(np.arange(self.episodes), min(GROUPS, self.episodes))
        groups = [
            [self._start(policy, row, part, step) for part in parts]
            for row, (_, policy) in enumerate(zip(self.seeds, policies, strict=True))
        ]
        running = [group for seed in groups for group in seed]
        while running:
            running = [group for group in running if group.advance()]
        return np.array([np.concatenate([group.returns for group in seed]) for seed in groups])

    def _start(self, policy: Policy, row: int, episodes: np.ndarray, step: int) -> _Group:
        """Return these episodes of the seed in this row at their first states."""
        envs = [self._envs[row * self.episodes + episode] for episode in episodes]
        states = np.empty((len(envs), len(self.scaling.observation_mean)), np.float32)
        for index, (env, episode) in enumerate(zip(envs, episodes, strict=True)):
            number = np.random.SeedSequence([self.seeds[row], step, episode]).generate_state(1)[0]
            states[index] = env.reset(seed=int(number))[0]
        return _Group(envs, states, policy, self._to_environment)

    def _to_environment(self, actions: Any) -> np.ndarray:
        """Return actions in the environment's units, within its bounds."""
        return np.clip(self.scaling.to_environment(np.asarray(actions)), self._low, self._high)

    def close(self) -> None:
        """Close the environments."""
        for env in self._envs:
            env.close()

    def _check(self, env_id: str) -> tuple[np.ndarray, np.ndarray]:
        """Return the bounds of actions."""
        actions, states = self._envs[0].action_space, self._envs[0].observation_space
        if not isinstance(actions, gymnasium.spaces.Box):
            raise ConfigError(f"{env_id} has discrete actions; only continuous ones are supported.")
        sizes = (len(self.scaling.observation_mean),), (len(self.scaling.action_center),)
        if (states.shape, actions.shape) != sizes:
            raise ConfigError(
                f"{env_id} has observations of shape {states.shape} and actions of shape {actions.shape}, "
                f"but the dataset has {sizes[0]} and {sizes[1]}. Give the environment of the data with env=."
            )
        bounds = spaces(env_id)
        return bounds.action_low, bounds.action_high
