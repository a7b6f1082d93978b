"""How unsure a model is of a transition: what model-based algorithms subtract from imagined rewards.

Each function takes means and standard deviations (members, ..., O + 1) of the next state and the reward, in
physical units, and returns (...). Members are the elites; OfflineRL-Kit's MOPO asks those that are none, too.
"""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp

from cocoa.dynamics.ensemble import Array


def aleatoric(mean: Array, std: Array) -> Array:
    """max_i |σ_i|: the largest predicted deviation (MOPO, Yu et al. 2020, section 4.3)."""
    return jnp.linalg.norm(std, axis=-1).max(axis=0)


def pairwise(mean: Array, std: Array) -> Array:
    """max_i |μ_i - mean_j μ_j| over next states: the largest disagreement (MOReL; Lu et al. 2022)."""
    states = mean[..., :-1]
    return jnp.linalg.norm(states - states.mean(axis=0), axis=-1).max(axis=0)


def deviation(mean: Array, std: Array) -> Array:
    """√(mean over outputs of Var_i μ_i) over next states: the members' spread (Lu et al. 2022)."""
    return jnp.sqrt(mean[..., :-1].var(axis=0).mean(axis=-1))


def none(mean: Array, std: Array) -> Array:
    """0."""
    return jnp.zeros(mean.shape[1:-1])


PENALTIES: dict[str, Callable[[Array, Array], Array]] = {
    "aleatoric": aleatoric,
    "pairwise": pairwise,
    "deviation": deviation,
    "none": none,
}
"""Penalties by the name under which `algo.penalty=` finds them."""
