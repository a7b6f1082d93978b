"""Evaluation in the environment: all seeds and episodes side by side, one policy call per step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium
import jax
import numpy as np
from jax.sharding import Mesh

from algos.base import Algorithm
from cocoa.compilation import Lean
from cocoa.data import Scaling
from cocoa.data.spaces import make_environment
from cocoa.decomposition import Observe
from cocoa.errors import ConfigError
from cocoa.training.devices import by_seed, copies, split

Policy = Callable[[np.ndarray], Any]
"""From states (seeds, episodes, O) to actions (seeds, episodes, A) in [-1, 1]."""


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

    def policy(self, learner: Any) -> Callable[[np.ndarray], np.ndarray]:
        """Return a function from states (seeds, ..., O) in the environment's units to actions in [-1, 1].

        It is a program of one seed, called for each: one of several would round in another way for each
        number of seeds, and on a CPU it would not be faster.
        """
        learners = by_seed(split(learner, self.mesh))
        each = len(learners) // len(self.observes)
        observes = [observe for observe in self.observes for _ in range(each)]
        given = [*zip(learners, observes, strict=True)]
        program = self._program(given[0])
        flat = [program.leaves(one) for one in given]

        def act(states: np.ndarray) -> np.ndarray:
            return np.stack(
                [np.asarray(program(leaves, one)) for leaves, one in zip(flat, states, strict=True)]
            )

        return act

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

    def evaluate(self, policy: Policy, step: int) -> np.ndarray:
        """Return the raw return of each episode, (seeds, episodes) float64.

        An episode starts from a state that depends on its seed, `step` and number alone, so that a resumed
        run repeats it. It ends at a terminal or at the environment's time limit.
        """
        shape = (len(self.seeds), self.episodes)
        states = np.empty((shape[0] * shape[1], len(self.scaling.observation_mean)), np.float32)
        for index, env in enumerate(self._envs):
            seed, episode = self.seeds[index // self.episodes], index % self.episodes
            number = np.random.SeedSequence([seed, step, episode]).generate_state(1)[0]
            states[index] = env.reset(seed=int(number))[0]
        returns = np.zeros(len(states))
        running = list(range(len(states)))
        while running:
            actions = np.asarray(policy(states.reshape(*shape, -1)))
            actions = np.clip(self.scaling.to_environment(actions), self._low, self._high)
            actions = actions.reshape(len(states), -1)
            still_running = []
            for index in running:
                state, reward, terminated, truncated, _ = self._envs[index].step(actions[index])
                states[index] = state
                returns[index] += float(reward)
                if not (terminated or truncated):
                    still_running.append(index)
            running = still_running
        return returns.reshape(shape)

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
        return actions.low, actions.high
