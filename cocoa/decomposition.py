"""How a state becomes what the networks see: the one function `observe` of a run.

In a plain run it is the (normalised) state; with COCOA the pair of anchor and difference. Training data
pass through it once, before training; evaluation and imagined states when they arise.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
from flax import struct


@struct.dataclass
class Decomposition:
    """A state as anchor + delta, leaves (..., O)."""

    anchor: jax.Array
    delta: jax.Array


@struct.dataclass
class Observe:
    """Map states (..., O) to observations; a pytree, so that it can be stacked over seeds.

    `mean` and `std`, shape (O,), normalise states; `anchors` maps states to anchors, or is None in a plain
    run. Anchors are found in the environment's units. States and anchors are then normalised by the same
    affine map and differences by its scale alone, so that anchor + delta = state holds before and after.
    """

    mean: jax.Array
    std: jax.Array
    anchors: Any = None

    def __call__(self, state: jax.Array) -> jax.Array | Decomposition:
        """Return the observation of `state`; no gradient flows into the models behind it."""
        if self.anchors is None:
            return self.express(state, None)
        return self.express(state, jax.lax.stop_gradient(self.anchors(state)))

    def express(self, state: jax.Array, anchor: jax.Array | None) -> jax.Array | Decomposition:
        """Return the observation of `state` whose anchor is known already."""
        if anchor is None:
            return (state - self.mean) / self.std
        return Decomposition((anchor - self.mean) / self.std, (state - anchor) / self.std)

    def state(self, observation: jax.Array | Decomposition) -> jax.Array:
        """Return the state (..., O) that `observation` is of: the inverse of a call."""
        if isinstance(observation, Decomposition):
            observation = observation.anchor + observation.delta
        return observation * self.std + self.mean


def in_chunks(function: Callable[[jax.Array], Any], rows: jax.Array, size: int = 16384) -> Any:
    """Apply `function` to (N, ...) rows by chunks of at most `size`, so that memory stays bounded."""
    return jax.lax.map(function, rows, batch_size=min(size, len(rows)))
