"""Modules of equal shapes that are independent of each other: evaluated one by one, or together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from cocoa.dynamics.xla.platform import platform


def together() -> bool:
    """Return whether modules of equal shapes are evaluated together, by one batched product for each layer.

    One seed on an accelerator is bound by the launches of kernels, of which this makes half as many. On a CPU
    separate products are faster. Parameters are the same, and results equal up to rounding.
    """
    return platform() != "cpu"


def stacked(trees: Sequence[Any]) -> Any:
    """Return pytrees of equal structures and shapes as one whose leaves have a leading axis of trees."""
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)
