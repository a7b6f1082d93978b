"""An algorithm whose evaluated policy draws its actions, small enough for any test."""

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp

import cocoa


@dataclass(frozen=True)
class Drawing(cocoa.BC):
    """Behaviour cloning that adds noise to its actions, in evaluation, too."""

    deterministic: ClassVar[bool] = False
    sampled: ClassVar[bool] = True

    def act(self, state, observation, key=None):
        """Return clip(π(s) + z / 2) with z ~ N(0, I); there is no action without a key."""
        action = state(observation)
        return jnp.clip(action + 0.5 * jax.random.normal(key, action.shape), -1, 1)

    def action_value(self, state, observation, action):
        """Return minus the square of the distance to the cloned action: enough to tell actions apart."""
        return -((action - state(observation)) ** 2).sum(axis=-1)
