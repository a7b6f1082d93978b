"""Returns of episodes that are collected while a training goes on, computed on the device."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from cocoa.algos.base import Array


def returns_to_go(reward: Array, terminal: Array, ends: Array, count: Array, discount: float) -> Array:
    """Return the discounted returns G_t (T, L) of L instances, of which the first `count` steps are made.

        G_t = r_t + γ G_{t+1} in an episode,   G_t = r_t + γ B at its end

    B is 0 at a terminal; where a time limit cuts an episode it is m / (1 - γ), with the episode's mean reward
    m, as in `cocoa.data.behaviour.with_returns`. The return is not known before the episode has ended: -inf.
    Rewards, terminals and `ends`, whatever ends an episode, are (T, L).
    """
    size = len(reward)
    ends = ends & (jnp.arange(size) < count)[:, None]
    number = jnp.cumsum(ends, axis=0) - ends
    mean = jax.vmap(_means, in_axes=(1, 1), out_axes=1)(reward, number)
    beyond = jnp.where(terminal > 0, 0, mean / (1 - discount))
    constant = reward + jnp.where(ends, discount * beyond, 0)
    slope = jnp.where(ends, 0, jnp.full_like(reward, discount))

    def joined(later: tuple[Array, Array], earlier: tuple[Array, Array]) -> tuple[Array, Array]:
        return earlier[0] * later[0], earlier[1] + earlier[0] * later[1]

    returns = jax.lax.associative_scan(joined, (slope, constant), reverse=True)[1]
    return jnp.where(number < ends.sum(axis=0), returns, -jnp.inf)


def _means(reward: Array, number: Array) -> Array:
    """Return for each step (T,) the mean reward of the episode with its number."""
    sums = jax.ops.segment_sum(reward, number, len(reward))
    counts = jax.ops.segment_sum(jnp.ones_like(reward), number, len(reward))
    return (sums / counts)[number]
