"""When an imagined episode ends: the environments' own rules, or one that is learned from the data."""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
from flax import struct
from numpy.typing import ArrayLike

from cocoa.dynamics.ensemble import Array, Ensemble

Rule = Callable[[Array, Array, Array], Array]
"""From states (..., O), actions (..., A) and next states (..., O), physical units, to bool (...)."""

RULES: dict[str, Rule] = {}
"""Rules by family: a Gymnasium id without its version."""


def termination_rule(*families: str) -> Callable[[Rule], Rule]:
    """Decorate a function as the rule of environments, as in `@termination_rule("Hopper")`."""

    def add(function: Rule) -> Rule:
        RULES.update(dict.fromkeys(families, function))
        return function

    return add


@termination_rule("HalfCheetah", "Swimmer", "Reacher", "Pusher", "Pendulum", "HumanoidStandup")
def never(state: Array, action: Array, next_state: Array) -> Array:
    """No state is terminal."""
    return jnp.zeros(next_state.shape[:-1], bool)


@termination_rule("Hopper")
def hopper(state: Array, action: Array, next_state: Array) -> Array:
    """Height at most 0.7, an angle of at least 0.2, or anything else beyond 100."""
    height, angle = next_state[..., 0], next_state[..., 1]
    healthy = (jnp.abs(next_state[..., 1:]) < 100).all(axis=-1) & (height > 0.7) & (jnp.abs(angle) < 0.2)
    return ~healthy


@termination_rule("Walker2d")
def walker2d(state: Array, action: Array, next_state: Array) -> Array:
    """Height outside of (0.8, 2) or angle outside of (-1, 1)."""
    height, angle = next_state[..., 0], next_state[..., 1]
    return ~((height > 0.8) & (height < 2.0) & (jnp.abs(angle) < 1.0))


@termination_rule("Ant")
def ant(state: Array, action: Array, next_state: Array) -> Array:
    """Height of the torso outside of [0.2, 1]."""
    height = next_state[..., 0]
    return ~((height >= 0.2) & (height <= 1.0))


@termination_rule("Humanoid")
def humanoid(state: Array, action: Array, next_state: Array) -> Array:
    """Height of the torso outside of (1, 2)."""
    height = next_state[..., 0]
    return ~((height > 1.0) & (height < 2.0))


@termination_rule("InvertedPendulum")
def inverted_pendulum(state: Array, action: Array, next_state: Array) -> Array:
    """An angle of more than 0.2."""
    return ~(jnp.abs(next_state[..., 1]) <= 0.2)


@struct.dataclass
class Termination:
    """A rule as a pytree without leaves."""

    rule: Rule = struct.field(pytree_node=False)

    def __call__(self, state: Array, action: Array, next_state: Array) -> Array:
        """Return which transitions are terminal, (...)."""
        return self.rule(state, action, next_state)

    def __str__(self) -> str:
        """Name the rule."""
        return f"{self.rule.__name__} ({self.rule.__doc__})"


@struct.dataclass
class LearnedTermination:
    """The rule that an ensemble has learned: terminal where the expected flag exceeds one half."""

    ensemble: Ensemble

    def __call__(self, state: Array, action: Array, next_state: Array) -> Array:
        """Return which transitions are terminal, (...)."""
        return self.ensemble.mean(jnp.concatenate([state, action, next_state], axis=-1))[..., 0] > 0.5

    def __str__(self) -> str:
        """Name the rule."""
        return "learned from the data"


def termination_data(
    observations: ArrayLike, actions: ArrayLike, next_observations: ArrayLike, terminals: ArrayLike
) -> tuple[np.ndarray, np.ndarray]:
    """Return inputs (N, 2 O + A) and targets (N, 1) from which an ensemble learns the rule."""
    inputs = np.concatenate([observations, actions, next_observations], axis=1)
    return inputs, np.asarray(terminals, np.float32)[:, None]
