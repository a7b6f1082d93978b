"""What is exported: a pure function, its arrays, and what they are of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

ROWS = 64
"""Observations on which an exported file is compared with the policy."""


@dataclass(frozen=True)
class PolicyFunction:
    """A policy as a pure function of its arrays, of observations and, if actions are drawn, of a number."""

    act: Callable[[Any, Any], Any]
    """`act(leaves, (observations (B, O) float32,))` returns actions (B, A), for any B; if the policy draws
    them, an int32 follows the observations, which decides the noise."""
    leaves: list[Any]
    """The arrays that the function reads; they become constants of the file."""
    sampled: bool
    """Whether the policy draws its actions."""
    observation_mean: np.ndarray
    """(O,): around these, and with these deviations, lie the observations of `examples`."""
    observation_std: np.ndarray
    """(O,)"""
    metadata: Mapping[str, str]
    """What the policy is, by name: see `Policy.export`."""

    @property
    def observation_dim(self) -> int:
        """The size O of an observation."""
        return len(self.observation_mean)

    @property
    def size(self) -> int:
        """Bytes of all arrays."""
        return sum(leaf.nbytes for leaf in jax.tree.leaves(self.leaves))

    def __call__(self, observations: Any, *draw: Any) -> Any:
        """Return actions (B, A) for observations (B, O); if they are drawn, `draw` is the number."""
        return self.act(self.leaves, (observations, *draw))

    def examples(self) -> np.ndarray:
        """Return `ROWS` observations (ROWS, O), spread as the data are; the same ones in each call."""
        drawn = np.random.default_rng(0).normal(size=(ROWS, self.observation_dim))
        return np.asarray(self.observation_mean + self.observation_std * drawn, np.float32)
