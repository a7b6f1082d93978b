"""The anchors of a dataset's states, found once before training."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from cocoa.anchors.variants import Anchors
from cocoa.decomposition import in_chunks


@struct.dataclass
class AnchorTable:
    """The anchors of the dataset's states, both (N, O), environment units."""

    observation: jax.Array
    next_observation: jax.Array


def anchor_table(anchors: Anchors, states: np.ndarray, next_states: np.ndarray) -> AnchorTable:
    """Return the anchors of states and next states, both (N, O).

    Where the next state is the next row's state, its anchor is taken from there: this halves the work.
    """
    follows = np.append((next_states[:-1] == states[1:]).all(axis=1), False)
    rows = jnp.asarray(np.concatenate([states, next_states[~follows]]))
    found = np.asarray(jax.jit(lambda anchors, x: in_chunks(anchors, x))(anchors, rows))
    next_anchors = np.empty_like(found[: len(states)])
    next_anchors[follows] = found[1 : len(states)][follows[:-1]]
    next_anchors[~follows] = found[len(states) :]
    return AnchorTable(jnp.asarray(found[: len(states)]), jnp.asarray(next_anchors))
