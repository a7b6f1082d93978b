"""The anchors of a dataset's states, computed once before training."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
from flax import struct

from cocoa.anchors.base import AnchorMap
from cocoa.anchors.decomposition import Observe, in_chunks

PIECE = 2**18
"""Rows of the data that are expressed at a time, at most."""


@struct.dataclass
class AnchorTable:
    """The anchors of the dataset's states, both (N, O) NumPy arrays in environment units."""

    observation: np.ndarray
    next_observation: np.ndarray


def anchor_table(anchors: AnchorMap, states: np.ndarray, next_states: np.ndarray) -> AnchorTable:
    """Return the anchors of states and next states, both (N, O).

    Where the next state is the next row's state, its anchor is taken from there: this halves the work.
    """
    follows = np.append((next_states[:-1] == states[1:]).all(axis=1), False)
    anchor_rows = in_chunks(anchors, np.concatenate([states, next_states[~follows]]))
    next_anchors = np.empty_like(anchor_rows[: len(states)])
    next_anchors[follows] = anchor_rows[1 : len(states)][follows[:-1]]
    next_anchors[~follows] = anchor_rows[len(states) :]
    return AnchorTable(anchor_rows[: len(states)], next_anchors)


def express_all(observe: Observe, states: np.ndarray, anchors: np.ndarray | None, on_host: bool) -> Any:
    """Return the observations of states (N, O), whose anchors (..., N, O), if any, are known.

    They are on the device, or NumPy arrays of which a device had a piece at a time.
    """

    def express(rows: slice) -> Any:
        known = None if anchors is None else jax.device_put(anchors[..., rows, :])
        return observe.express(jax.device_put(states[rows]), known)

    if not on_host:
        return express(slice(None))
    starts = range(0, len(states), PIECE)
    pieces = [jax.device_get(express(slice(start, start + PIECE))) for start in starts]
    return jax.tree.map(lambda *leaves: np.concatenate(leaves, axis=-2), *pieces)
