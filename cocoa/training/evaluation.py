"""Evaluation in the environment: episodes side by side, actions of some computed while others are stepped."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import gymnasium
import jax
import numpy as np
from jax.sharding import Mesh

from cocoa.algos.base import Algorithm
from cocoa.anchors.decomposition import Observe
from cocoa.data import Scaling
from cocoa.dynamics.xla.pruning import PrunedFunction
from cocoa.environments.spaces import Spaces, spaces
from cocoa.errors import ConfigError
from cocoa.training.environments import Environments
from cocoa.training.episodes import Episode, Group, Policy, SampledPolicy
from cocoa.training.faults import Fault
from cocoa.training.seeds import PerSeed, by_seed, place

FINAL = 2**64
"""The number of updates that stands for a final evaluation. No training gets there, so its episodes start
from other states than those of any training."""
GROUPS = 2
"""The number of groups of a seed's episodes: actions of one are computed while another is stepped."""


class Episodes(NamedTuple):
    """The episodes of an evaluation, (seeds, episodes) each."""

    returns: np.ndarray
    """float64: sums of rewards, in the environment's units."""
    lengths: np.ndarray
    """int64: steps."""
    successes: np.ndarray
    """float64: 1 or 0, as the environment says at the last step; NaN if it does not say."""


class Actor:
    """The policies of all seeds as they are evaluated, spread over devices."""

    def __init__(self, algorithm: Algorithm, observe: Observe | PerSeed, mesh: Mesh):
        """`observe` maps states to observations; `mesh` holds the policies."""
        self.mesh = mesh
        self.observe = place(observe, mesh)
        self.algorithm = algorithm
        self._programs: dict[Any, PrunedFunction] = {}

    def policies(self, learner: PerSeed) -> list[Policy | SampledPolicy]:
        """Return the policy of each seed, whose actions may still be computed when a call returns.

        Those of an algorithm that is `sampled` are `SampledPolicy`s.
        Each is called alone: a program of several would round in another way for each number of seeds, and on
        a CPU it would not be faster.
        """
        pairs = by_seed((place(learner, self.mesh), self.observe))
        program = self._program(pairs[0])
        acts = (partial(program, program.leaves(pair)) for pair in pairs)
        return [SampledPolicy(act) if self.algorithm.sampled else act for act in acts]

    def _program(self, pair: tuple[Any, Observe]) -> PrunedFunction:
        """Return the compiled policy of a learner and its `observe`."""
        structure = jax.tree.structure(pair)
        if structure not in self._programs:
            states = jax.ShapeDtypeStruct((1, *pair[1].mean.shape), np.float32)
            keys, step = (jax.ShapeDtypeStruct(shape, np.uint32) for shape in ((1, 2), ()))
            sampled = self.algorithm.sampled
            act, inputs = (self._draw, (states, keys, step)) if sampled else (self._act, states)
            self._programs[structure] = PrunedFunction(act, pair, inputs, self.mesh.devices.flat[0])
        return self._programs[structure]

    def _act(self, pair: tuple[Any, Observe], states: Any) -> Any:
        learner, observe = pair
        return self.algorithm.act(learner, observe(states))

    def _draw(self, pair: tuple[Any, Observe], inputs: tuple[Any, Any, Any]) -> Any:
        """Return actions (n, A) of states (n, O): a row's draw is a function of its key and the step."""
        (learner, observe), (states, keys, step) = pair, inputs

        def of_row(observation: Any, bits: Any) -> Any:
            key = jax.random.wrap_key_data(bits, impl="threefry2x32")
            return self.algorithm.act(learner, observation, jax.random.fold_in(key, step))

        return jax.vmap(of_row)(observe(states), keys)


class Evaluator:
    """Runs full episodes of `env_id` for every seed; environments are made once and kept."""

    def __init__(self, env_id: str, seeds: tuple[int, ...], episodes: int, scaling: Scaling):
        """`scaling` turns actions into the environment's units.

        Resets and steps the environments once. Raises DataError if they cannot be made or violate Gymnasium's
        interface, and ConfigError if their sizes are not those of the data.
        """
        self.env_id = env_id
        self.seeds = seeds
        self.episodes = episodes
        self.scaling = scaling
        self.faults: list[Fault] = []
        """Numbers that were not finite in the last evaluation, at most one for each episode."""
        self._bounds = spaces_of_data(env_id, scaling)
        self.time_limit = self._bounds.time_limit
        """Steps per episode, if Gymnasium knows of a limit."""
        self._low, self._high = self._bounds.action_low, self._bounds.action_high
        resets = [int(_chance(seed, 0, episode)[0]) for seed in seeds for episode in range(episodes)]
        action = self._to_environment(np.zeros((1, len(scaling.action_center)), np.float32))[0]
        self._environments = Environments(env_id, resets, self._bounds.observation_dim, action)
        self._low, self._high = within(self._bounds, self.instances[0].action_space)

    @property
    def notes(self) -> list[str]:
        """Sentences about the environments that the user should read."""
        return self._environments.notes

    @property
    def instances(self) -> list[gymnasium.Env]:
        """The environments, one for each episode or a single one; free between evaluations."""
        return self._environments.instances

    def evaluate(
        self, policies: Sequence[Policy | SampledPolicy], step: int, first: int = 0, last: int | None = None
    ) -> Episodes:
        """Play as many episodes as the evaluator has, from number `first` on, of a policy for each seed.

        With `last`, the episodes after this number are left out; those before it are the same.
        The state from which an episode starts, and the draws of a policy that draws its actions, depend on
        its seed, `step` and number alone, so that a resumed run repeats it. It ends at a terminal or at the
        environment's time limit. Where only one instance of the environment can exist, episodes follow each
        other, with the same results.

        Raises RunError, which names the episode and the step, if the environment fails.
        """
        numbers = np.arange(first, first + self.episodes)
        parts = np.array_split(numbers, min(GROUPS, self.episodes))
        sets = [
            (policy, self._episodes(row, part if last is None else part[part <= last]), len(part))
            for row, (_, policy) in enumerate(zip(self.seeds, policies, strict=True))
            for part in parts
        ]
        if len(self.instances) > 1:
            running = [self._start(*group, step) for group in sets]
            while running:
                running = [group for group in running if group.advance()]
        else:
            for policy, episodes, rows in sets:
                for episode in episodes:
                    group = self._start(policy, [episode], rows, step)
                    while group.advance():
                        pass
        played = [episode for _, episodes, _ in sets for episode in episodes]
        self.faults = [episode.fault for episode in played if episode.fault]
        shape = len(self.seeds), -1
        return Episodes(
            np.array([episode.total for episode in played]).reshape(shape),
            np.array([episode.length for episode in played]).reshape(shape),
            np.array([episode.success for episode in played]).reshape(shape),
        )

    def close(self) -> None:
        """Close the environments."""
        self._environments.close()

    def _episodes(self, row: int, numbers: np.ndarray) -> list[Episode]:
        """Return the episodes of these numbers, of the seed in this row."""
        places = [
            (row * self.episodes + int(number) % self.episodes) % len(self.instances) for number in numbers
        ]
        return [
            Episode(self.instances[place], self.seeds[row], int(number), index)
            for index, (place, number) in enumerate(zip(places, numbers, strict=True))
        ]

    def _start(self, policy: Policy | SampledPolicy, episodes: list[Episode], rows: int, step: int) -> Group:
        """Start these episodes; their policy is called with `rows` rows."""
        chances = [_chance(episode.seed, step, episode.number) for episode in episodes]
        shape = rows, self._bounds.observation_dim
        return Group(self.env_id, episodes, chances, shape, policy, self._to_environment)

    def _to_environment(self, actions: Any) -> np.ndarray:
        """Return actions in the environment's units, within its bounds."""
        return np.clip(self.scaling.to_environment(np.asarray(actions)), self._low, self._high)


def spaces_of_data(env_id: str, scaling: Scaling) -> Spaces:
    """Return the spaces of an environment. Raises ConfigError if their sizes are not those of the data."""
    bounds = spaces(env_id)
    sizes = len(scaling.observation_mean), len(scaling.action_center)
    if (bounds.observation_dim, len(bounds.action_low)) != sizes:
        raise ConfigError(
            f"{env_id} has observations of shape ({bounds.observation_dim},) and actions of shape "
            f"({len(bounds.action_low)},), but the dataset has ({sizes[0]},) and ({sizes[1]},). Give the "
            "environment of the data with env=."
        )
    return bounds


def within(bounds: Spaces, actions: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the bounds in single precision, none of them outside of those of a space in double precision."""
    low, high = bounds.action_low, bounds.action_high
    beyond_low, beyond_high = low < actions.low, high > actions.high
    low = np.where(bounds.action_bounded & beyond_low, np.nextafter(low, np.float32(np.inf)), low)
    high = np.where(bounds.action_bounded & beyond_high, np.nextafter(high, np.float32(-np.inf)), high)
    return low, high


def _chance(seed: int, step: int, episode: int) -> np.ndarray:
    """Return three uint32 of an episode: the seed of its environment's reset, and the key of its actions."""
    return np.random.SeedSequence([seed, step, episode]).generate_state(3)
