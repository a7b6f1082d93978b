"""Short rollouts of the policy of the moment, made in each update, with their λ-returns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from cocoa.algos.base import Array, Batch, Observation, World, concatenate
from cocoa.algos.rollouts import Buffer, Rollouts


@struct.dataclass
class ImaginingBatch(Batch):
    """Transitions of the data, with all that rollouts of the policy of the moment need."""

    starts: Observation
    """Where rollouts start, leaves (rollouts, ...)."""
    world: World


@dataclass(frozen=True, kw_only=True)
class Imagination(Rollouts):
    """Data, and starts of further rollouts: states in which the buffer's rollouts have been."""

    def kept(self, step: Batch) -> Observation:
        """Return the observation that a step started from."""
        return step.observation

    def rows(self, key: Array, size: int, count: int) -> Array:
        """Return indices of `size` transitions."""
        return jax.random.randint(key, (size,), 0, count)

    def draw(self, buffer: Buffer, taken: Batch, world: World, key: Array, size: int) -> ImaginingBatch:
        """Return the transitions of the data with as many starts."""
        return ImaginingBatch(**vars(taken), starts=self.recall(buffer, key, size), world=world)


@struct.dataclass
class Trajectories:
    """Rollouts of H steps: leaves (H + 1, B, ...), of which the last has a state and an action alone."""

    observation: Observation
    action: Array
    going: Array
    """Bool: where the rollout has not ended before. Behind its end it stays where it is."""
    value: Array
    """Q(s_t, a_t)."""
    returns: Array
    """λ-returns Q^λ_t."""
    slope: Array
    """∂Q^λ_t / ∂a_t, (H + 1, B, A): through the model and the policy's later actions, too."""


def return_shares(horizon: int, decay: float) -> np.ndarray:
    """Return 1 - 1 / w_t, (H,), with w_t = 1 + λ w_{t+1} and w_H = 1: the share of what lies ahead."""
    weights = np.cumsum(decay ** np.arange(horizon + 1))[::-1]
    return 1 - 1 / weights[:-1]


def slope_weights(horizon: int, discount: float, decay: float) -> np.ndarray:
    """Return the weights Π_{i<t} γ (1 - 1 / w_i) of Q^λ_t in Q^λ_0, (H + 1,)."""
    return np.cumprod(np.append(1.0, discount * return_shares(horizon, decay)))


def lambda_returns(
    value: Array, reward: Array, terminal: Array, there: Array, discount: float, decay: float
) -> Array:
    """Return Q^λ_t (H + 1, B): the mean of n-step returns, n = 0, ..., H - t, with weights λⁿ.

        Q^λ_t = (Q_t + λ w_{t+1} (r_t + γ (1 - terminal_t) Q^λ_{t+1})) / w_t,   Q^λ_H = Q_H

    `value` (H + 1, B) are the Q_t; rewards, terminals and bool `there`, which steps there are, (H, B). Where
    there is no step, Q^λ_t is Q_t.
    """
    shares = jnp.asarray(return_shares(len(reward), decay), value.dtype)

    def back(ahead: Array, step: Any) -> tuple[Array, Array]:
        value, reward, terminal, there, share = step
        ahead = reward + discount * (1 - terminal) * ahead
        mixed = jnp.where(there, (1 - share) * value + share * ahead, value)
        return mixed, mixed

    steps = value[:-1], reward, terminal, there, shares
    returns = jax.lax.scan(back, value[-1], steps, reverse=True)[1]
    return concatenate(returns, value[-1:])


def imagine(
    policy: Callable[[Observation], Array],
    critic: Callable[[Observation, Array], Array],
    starts: Observation,
    world: World,
    key: Array,
    horizon: int,
    discount: float,
    decay: float,
) -> Trajectories:
    """Return rollouts of a deterministic policy from `starts`, leaves (B, ...), with values and λ-returns.

    All slopes cost one backward pass: where a rollout goes on, Q^λ_0 holds Q^λ_t with a constant weight, see
    `slope_weights`, and nothing else in it depends on a_t.
    """
    keys = jax.random.split(key, horizon)

    def rollouts(nudge: Array) -> tuple[Array, Trajectories]:
        def step(carry: Any, inputs: Any) -> tuple[Any, Any]:
            state, observation, going = carry
            key, nudge = inputs
            action = policy(observation) + nudge
            next_state, reward, terminal = world.step(state, action, key)
            there = going & jnp.isfinite(next_state).all(axis=-1) & jnp.isfinite(reward)
            on = there & (terminal == 0)
            following = next_state, world.observe(next_state)
            following = jax.tree.map(partial(_choose, on), following, (state, observation))
            return (*following, on), (observation, action, going, reward, terminal, there)

        first = world.state(starts), starts, jnp.ones(len(nudge[0]), bool)
        (_, observation, going), steps = jax.lax.scan(step, first, (keys, nudge[:-1]))
        last = observation, policy(observation) + nudge[-1], going
        observation, action, going = jax.tree.map(
            lambda some, one: jnp.concatenate([some, one[None]]), steps[:3], last
        )
        value, (reward, terminal, there) = critic(observation, action), steps[3:]
        returns = lambda_returns(value, reward, terminal, there, discount, decay)
        return returns[0].sum(), Trajectories(observation, action, going, value, returns, nudge)

    like = jax.eval_shape(policy, starts)
    slope, found = jax.grad(rollouts, has_aux=True)(jnp.zeros((horizon + 1, *like.shape), like.dtype))
    slope = slope / slope_weights(horizon, discount, decay).astype(like.dtype)[:, None, None]
    # Where the model has left the range of numbers there is no slope; behind the end of a rollout, no policy.
    return found.replace(slope=jnp.where(found.going[..., None] & jnp.isfinite(slope), slope, 0))


def _choose(on: Array, new: Array, old: Array) -> Array:
    """Return the rows of `new` where `on` (B,), else those of `old`."""
    return jnp.where(on.reshape(on.shape + (1,) * (new.ndim - 1)), new, old)
