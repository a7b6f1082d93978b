"""Evaluation in the environment: episodes side by side, actions of some computed while others are stepped."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
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
from cocoa.environments.spaces import Spaces, described, spaces
from cocoa.errors import ConfigError, RunError
from cocoa.training.environments import Environments, scalar, success_of
from cocoa.training.faults import Fault
from cocoa.training.seeds import PerSeed, by_seed, place

Policy = Callable[[np.ndarray], Any]
"""From states (..., O) in the environment's units to an array (..., A) of actions in [-1, 1]."""

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
    """The deterministic policies of all seeds, spread over devices."""

    def __init__(self, algorithm: Algorithm, observe: Observe | PerSeed, mesh: Mesh):
        """`observe` maps states to observations; `mesh` holds the policies."""
        self.mesh = mesh
        self.observe = place(observe, mesh)
        self.algorithm = algorithm
        self._programs: dict[Any, PrunedFunction] = {}

    def policies(self, learner: PerSeed) -> list[Policy]:
        """Return the policy of each seed, whose actions may still be computed when a call returns.

        Each is called alone: a program of several would round in another way for each number of seeds, and on
        a CPU it would not be faster.
        """
        pairs = by_seed((place(learner, self.mesh), self.observe))
        program = self._program(pairs[0])
        return [partial(program, program.leaves(pair)) for pair in pairs]

    def _program(self, pair: tuple[Any, Observe]) -> PrunedFunction:
        """Return the compiled policy of a learner and its `observe`."""

        def act(pair: tuple[Any, Observe], states: Any) -> Any:
            learner, observe = pair
            return self.algorithm.act(learner, observe(states))

        structure = jax.tree.structure(pair)
        if structure not in self._programs:
            state = jax.ShapeDtypeStruct((1, *pair[1].mean.shape), np.float32)
            self._programs[structure] = PrunedFunction(act, pair, state)
        return self._programs[structure]


class _Episode:
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


class _Group:
    """Episodes that are stepped together; their actions are requested as soon as their states are known."""

    def __init__(
        self,
        name: str,
        episodes: Sequence[_Episode],
        resets: Sequence[int],
        shape: tuple[int, int],
        policy: Policy,
        to_environment: Callable[[Any], np.ndarray],
    ):
        """Reset the environments of `episodes`, of the id `name`, with the seeds `resets`.

        The policy is called with states of `shape` (rows, O), in which each episode has its own row: rounding
        may depend on the number of rows, but not on the values in the others.
        """
        self._name, self._policy, self._to_environment = name, policy, to_environment
        self._states = np.zeros(shape, np.float32)
        self._running = list(episodes)
        self._step = 0
        for episode, number in zip(episodes, resets, strict=True):
            try:
                self._states[episode.row] = episode.env.reset(seed=number)[0]
            except Exception as error:
                raise self._failure(episode, error) from error
            episode.find_fault(0, self._states[episode.row], None)
        self._actions = policy(self._states)

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

    def _failure(self, episode: _Episode, error: Exception, action: np.ndarray | None = None) -> RunError:
        cause = ""
        if action is not None and not np.isfinite(action).all():
            cause = " The policy's action was not finite: the training has diverged."
        return RunError(
            f"Environment {self._name!r} failed in an evaluation (seed {episode.seed}, episode "
            f"{episode.number}, step {self._step}): {described(error)}.{cause}"
        )


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
        self._bounds = self._check(env_id)
        self.time_limit = self._bounds.time_limit
        """Steps per episode, if Gymnasium knows of a limit."""
        self._low, self._high = self._bounds.action_low, self._bounds.action_high
        resets = [_reset_seed(seed, 0, episode) for seed in seeds for episode in range(episodes)]
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
        self, policies: Sequence[Policy], step: int, first: int = 0, last: int | None = None
    ) -> Episodes:
        """Play as many episodes as the evaluator has, from number `first` on, of a policy for each seed.

        With `last`, the episodes after this number are left out; those before it are the same.
        An episode starts from a state that depends on its seed, `step` and number alone, so that a resumed
        run repeats it. It ends at a terminal or at the environment's time limit. Where only one instance of
        the environment can exist, episodes follow each other, with the same results.

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

    def _episodes(self, row: int, numbers: np.ndarray) -> list[_Episode]:
        """Return the episodes of these numbers, of the seed in this row."""
        places = [
            (row * self.episodes + int(number) % self.episodes) % len(self.instances) for number in numbers
        ]
        return [
            _Episode(self.instances[place], self.seeds[row], int(number), index)
            for index, (place, number) in enumerate(zip(places, numbers, strict=True))
        ]

    def _start(self, policy: Policy, episodes: list[_Episode], rows: int, step: int) -> _Group:
        """Start these episodes; their policy is called with `rows` rows."""
        resets = [_reset_seed(episode.seed, step, episode.number) for episode in episodes]
        shape = rows, self._bounds.observation_dim
        return _Group(self.env_id, episodes, resets, shape, policy, self._to_environment)

    def _to_environment(self, actions: Any) -> np.ndarray:
        """Return actions in the environment's units, within its bounds."""
        return np.clip(self.scaling.to_environment(np.asarray(actions)), self._low, self._high)

    def _check(self, env_id: str) -> Spaces:
        """Return the spaces."""
        bounds = spaces(env_id)
        sizes = len(self.scaling.observation_mean), len(self.scaling.action_center)
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


def _reset_seed(seed: int, step: int, episode: int) -> int:
    """Return the seed with which an episode's environment is reset."""
    return int(np.random.SeedSequence([seed, step, episode]).generate_state(1)[0])
