"""How a state becomes what the networks see: the one function `observe` of a run.

In a plain run it is the (normalised) state; with COCOA the pair of anchor and difference. Training data
pass through it once, before training; evaluation and imagined states when they arise.
"""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
from flax import struct

from cocoa.dynamics.xla.compiler import compiled
from cocoa.dynamics.xla.numerics import exact

CHUNK = 2**14
"""Rows that `in_chunks` puts on a device at a time."""


@struct.dataclass
class Decomposition:
    """A state as anchor + delta, leaves (..., O)."""

    anchor: jax.Array
    delta: jax.Array


@struct.dataclass
class Observe:
    """Map states (..., O) to observations; a pytree, so that it can be stacked over seeds.

    `mean` and `std`, shape (O,), normalise states; `anchors` maps states to anchors, or is None in a plain
    run. Anchors are computed in the environment's units. States and anchors are then normalised by the same
    affine map and differences by its scale alone, so that anchor + delta = state holds before and after.
    """

    mean: jax.Array
    std: jax.Array
    anchors: Any = None

    @exact
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


def in_chunks(function: Any, rows: np.ndarray) -> Any:
    """Return `function` of rows (N, d), N > 0, of which a device has at most `CHUNK` at a time.

    `function` is a pytree that maps (M, d) to a tree of arrays (M, ...); the result's are NumPy's, (N, ...).
    One program is compiled for all that have the same structure and shapes, and at least `CHUNK` rows.
    """
    size, apply = min(CHUNK, len(rows)), compiled(_apply)
    shapes = jax.eval_shape(_apply, function, rows[:size])
    result = jax.tree.map(lambda x: np.empty((len(rows), *x.shape[1:]), x.dtype), shapes)
    for start in range(0, len(rows), size):
        # The last chunk overlaps the one before it, since a smaller one would be another program.
        chunk = slice(min(start, len(rows) - size), start + size)
        for whole, part in zip(*map(jax.tree.leaves, (result, apply(function, rows[chunk]))), strict=True):
            whole[chunk] = part
    return result


def _apply(function: Any, rows: jax.Array) -> Any:
    return function(rows)
