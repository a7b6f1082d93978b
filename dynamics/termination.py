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
"""Rules by family: a Gymnasium id without its version, or D4RL's name of a maze."""


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


@termination_rule("antmaze-umaze")
def antmaze_umaze(state: Array, action: Array, next_state: Array) -> Array:
    """Less than 0.25 m from (0.75, 8.75), the mean of D4RL's goals, as in the code of CBOP and LEQ."""
    return _near(next_state, 0.75, 8.75)


@termination_rule("antmaze-medium")
def antmaze_medium(state: Array, action: Array, next_state: Array) -> Array:
    """Less than 0.25 m from (20.75, 20.75), the mean of D4RL's goals, as in the code of CBOP and LEQ."""
    return _near(next_state, 20.75, 20.75)


@termination_rule("antmaze-large")
def antmaze_large(state: Array, action: Array, next_state: Array) -> Array:
    """Less than 0.25 m from (32.75, 24.75), the mean of D4RL's goals, as in the code of CBOP and LEQ."""
    return _near(next_state, 32.75, 24.75)


def _near(state: Array, x: float, y: float) -> Array:
    return ~(jnp.hypot(state[..., 0] - x, state[..., 1] - y) >= 0.25)


@termination_rule("PointMaze")
def point_maze(state: Array, action: Array, next_state: Array) -> Array:
    """At most 0.45 m from the goal, the last two numbers of the state."""
    return ~(jnp.linalg.norm(next_state[..., :2] - next_state[..., -2:], axis=-1) > 0.45)


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
