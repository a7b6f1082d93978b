"""Anchors by search: a control without models, whose differences are those of the data."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from cocoa.algos.base import check_at_least
from cocoa.anchors.base import AnchorMap, AnchorVariant, Models, register_anchors
from cocoa.errors import DataError

_ROWS_AT_ONCE = 64  # keeps (rows, candidates, candidates) in the cache


@register_anchors("nearest")
@dataclass(frozen=True)
class Nearest(AnchorVariant):
    """Control: the data state whose difference from the state is nearest to one of the data's own."""

    horizon: int = 1
    """Steps k between the states whose differences are the data's own."""
    candidates: int = 256
    """How many data states, and how many differences, the search compares."""
    amortised: bool = False
    """Replace the search by one network distilled from it: cheaper wherever anchors are computed during
    training (MOPO, MOBILE, evaluation), and not exact; the run reports the error."""
    per_seed: bool = False
    """Draw other candidates for each seed, instead of the same for all seeds of the run."""

    def __post_init__(self) -> None:
        """Raise ValueError for a value that is out of range."""
        check_at_least(1, self, "horizon", "candidates")

    def build(self, models: Models) -> AnchorMap:
        """Draw the candidates without replacement. Raises DataError if no episode has more than k steps."""
        rng = np.random.default_rng(np.asarray(jax.random.key_data(models.key)).tolist())
        data, k = models.states, self.horizon
        starts = np.flatnonzero(models.episodes[:-k] == models.episodes[k:])
        if len(starts) == 0:
            raise DataError(
                f"Anchors of the variant 'nearest' need differences of states that are cocoa.horizon={k} "
                "steps apart, but no episode of the dataset is that long. Set "
                f"{'a smaller cocoa.horizon or ' if k > 1 else ''}another variant, +cocoa=<variant>."
            )
        rows = rng.choice(len(data), min(self.candidates, len(data)), replace=False)
        starts = rng.choice(starts, min(self.candidates, len(starts)), replace=False)
        search = NearestMap(data[rows], data[starts] - data[starts + k], models.std)
        return models.distilled(search) if self.amortised else search

    def template(self, shapes: Models) -> AnchorMap:
        """Return the map with rows like the data's."""
        search = NearestMap(shapes.states, shapes.states, shapes.std)  # type: ignore[arg-type]
        return shapes.distilled(search) if self.amortised else search


@struct.dataclass
class NearestMap:
    """The data state c_i whose difference s - c_i is nearest to a reference difference d_j.

    Minimises min_j |(s - c_i - d_j) / std| over the data states c_i (c, O) in `data`. The reference
    differences d_j (c, O) in `deltas` are what k = `cocoa.horizon` steps of the behaviour make,
    d = s_t - s_{t+k}: of the sign and over the steps that a seeker's s - s̃ has.
    """

    data: jax.Array
    deltas: jax.Array
    std: jax.Array

    def __call__(self, states: jax.Array) -> jax.Array:
        """Search for each of `states`."""
        # |s - c - d|² = |s - c|² + (|d|² + 2 c·d) - 2 s·d: what depends on c, d and s at once is a sum.
        center = self.data.mean(axis=0)
        candidates, deltas = (self.data - center) / self.std, self.deltas / self.std
        pairs = jnp.matmul(2 * candidates, deltas.T, precision="highest") + jnp.sum(deltas**2, axis=-1)

        def anchor(state: jax.Array) -> jax.Array:
            row = (state - center) / self.std
            to_candidates = jnp.sum((row - candidates) ** 2, axis=-1)
            to_deltas = jnp.min(pairs - jnp.matmul(2 * deltas, row, precision="highest"), axis=1)
            return self.data[jnp.argmin(to_candidates + to_deltas)]

        rows = states.reshape(-1, states.shape[-1])
        # The symbolic number of rows of an exported policy cannot be divided into blocks and a rest.
        at_once = _ROWS_AT_ONCE if isinstance(rows.shape[0], int) else None
        return jax.lax.map(anchor, rows, batch_size=at_once).reshape(states.shape)
