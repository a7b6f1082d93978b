"""Estimates of what frozen policies return, from recorded transitions alone."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cocoa.algos.base import Algorithm, Array, Batch, NextActionBatch, Observation
from cocoa.algos.networks import Networks
from cocoa.anchors.decomposition import Observe
from cocoa.data import Dataset
from cocoa.dynamics.moments import divisor, moments
from cocoa.preparation.inputs import observed
from cocoa.selection.fqe import FittedQ
from cocoa.selection.settings import Selection
from cocoa.training.devices import seeds_mesh
from cocoa.training.job import TrainingJob
from cocoa.training.loop import Training
from cocoa.training.seeds import PerSeed, over_seeds, place, spread

_ROWS = 4096
"""Transitions of which a device computes actions and values at a time."""
_CHUNK = 1000
"""Updates between two reports of the progress."""


def behaviour(
    algorithm: Algorithm, learner: PerSeed, observe: Observe | PerSeed, batch: Batch
) -> dict[str, np.ndarray]:
    """Return what the policies of all seeds do on transitions, and what their own critics say of it.

    `batch` (N, ...) has states in the environment's units, and the scaled rewards of the training. The result
    has `action` π(s) and `next_action` π(s'), (seeds, N, A) in [-1, 1] and, if the algorithm has critics,
    `value` Q(s, π(s)) and `td_error`, (seeds, N), the squared r + γ (1 - terminal) Q(s', π(s')) - Q(s, a).
    Where policies draw their actions, each action is one draw, which the transition's number in `batch`
    decides: the noise is the same for all seeds, so that chance favours none.
    """
    mesh = seeds_mesh(len(jax.tree.leaves(learner)[0]))

    def of_row(learner: Any, numbered: tuple[Array, Batch]) -> dict[str, Array]:
        number, row = numbered
        keys = jax.random.split(jax.random.fold_in(jax.random.key(0), number))

        def act(observation: Observation, key: Array) -> Array:
            chosen = algorithm.act(learner, observation, key if algorithm.sampled else None)
            return jnp.clip(chosen, -1, 1)  # as in evaluation

        action, next_action = act(row.observation, keys[0]), act(row.next_observation, keys[1])
        actions = {"action": action, "next_action": next_action}
        critic = partial(algorithm.action_value, learner)
        value, next_value = critic(row.observation, action), critic(row.next_observation, next_action)
        recorded = critic(row.observation, row.action)
        if value is None or next_value is None or recorded is None:
            return actions
        error = row.reward + algorithm.discount * (1 - row.terminal) * next_value - recorded
        return actions | {"value": value, "td_error": error**2}

    def of_seed(learner: Any, batch: Batch) -> dict[str, Array]:
        numbers = jnp.arange(len(batch.reward))
        return jax.lax.map(partial(of_row, learner), (numbers, batch), batch_size=_ROWS)

    compute = spread(partial(over_seeds, of_seed), mesh)
    return jax.device_get(compute(*place((learner, observed(batch, observe)), mesh)).values)


def fitted_values(
    part: Dataset,
    batch: Batch,
    next_actions: np.ndarray,
    settings: Selection,
    advance: Callable[[int], None] = lambda updates: None,
) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Fit the action values of policies, and return them as a function.

    `batch` (N, ...) are the transitions of `part`; `next_actions` (seeds, N, A) are the policies' in its next
    states. All policies see the same batches and start from the same parameters, so that chance favours none.
    The function maps states (M, O) in the environment's units and actions (seeds, M, A) in [-1, 1] to values
    (seeds, M), discounted sums of rewards in the environment's units. `advance` gets the number of updates
    that are done since its last call.
    """
    mean, std = moments(part.observations)
    std = divisor(std)

    def standardized(states: np.ndarray) -> np.ndarray:
        return ((states - mean) / std).astype(np.float32)

    scale = _typical_return(part, settings.discount)
    low, high = bounds(part.rewards, settings.discount)
    algorithm = FittedQ(
        discount=settings.discount,
        hidden=settings.hidden,
        learning_rate=settings.learning_rate,
        target_rate=settings.target_rate,
        low=low / scale,
        high=high / scale,
    )
    count = len(next_actions)
    data = NextActionBatch(
        observation=standardized(part.observations),
        action=batch.action,
        reward=(part.rewards / scale).astype(np.float32),  # type: ignore[arg-type]
        terminal=batch.terminal,
        next_observation=standardized(part.next_observations),
        next_action=PerSeed(next_actions),  # type: ignore[arg-type]
        next_action_known=np.ones(len(part), np.float32),  # type: ignore[arg-type]
    )
    networks = Networks(batch.action.shape[1], settings.hidden)
    job = TrainingJob(algorithm, networks, data, (0,) * count, settings.updates, settings.batch_size)
    training = Training(job, seeds_mesh(count))
    state = training.init()
    for start in range(0, settings.updates, _CHUNK):
        length = min(_CHUNK, settings.updates - start)
        state, metrics = training.chunk(state, start, length)
        jax.block_until_ready(metrics)
        advance(length)

    def values(states: np.ndarray, actions: np.ndarray) -> np.ndarray:
        compute = spread(partial(over_seeds, algorithm.action_value), training.mesh)
        arguments = place((standardized(states), PerSeed(actions)), training.mesh)
        return scale * np.asarray(compute(state.learner, *arguments).values, np.float64)

    return values


def bounds(rewards: np.ndarray, discount: float) -> tuple[float, float]:
    """Return the lowest and the highest discounted sum of rewards, if none is beyond those (N,) recorded.

    An episode may end after any number of steps, but for none.
    """
    low, high = float(rewards.min()), float(rewards.max())
    return min(low, low / (1 - discount)), max(high, high / (1 - discount))


def first_rows(part: Dataset) -> np.ndarray:
    """Return the row (E,) of the first transition of each episode."""
    return np.flatnonzero(np.diff(part.episodes, prepend=-1))


def _typical_return(part: Dataset, discount: float) -> float:
    """Return the root mean square of the discounted returns from all states on, recorded; 1 if it is 0.

    Q is fitted in this unit: its targets are about 1, whatever the rewards.
    """
    total, squares, episode = 0.0, 0.0, -1
    for reward, number in zip(part.rewards[::-1].tolist(), part.episodes[::-1].tolist(), strict=True):
        total = reward + (discount * total if number == episode else 0.0)
        squares, episode = squares + total**2, number
    return float(np.sqrt(squares / len(part))) or 1.0
