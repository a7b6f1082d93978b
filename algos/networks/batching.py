"""Modules of equal shapes that are independent of each other: evaluated one by one, or together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from cocoa.dynamics.xla.platform import platform


def together() -> bool:
    """Return whether modules of equal shapes are evaluated together, by one batched product for each layer.

    One seed on an accelerator is bound by the launches of kernels, of which this makes half as many. On a CPU
    separate products are faster. Parameters are the same, and results equal up to rounding.
    """
    return platform() != "cpu"


def joined(params: Sequence[Any]) -> Any:
    """Return the parameters of equal modules as one pytree whose leaves have a leading axis of modules.

    As `stacked`, by way of vectors: where the parameters are slices of one vector, in this order, XLA takes
    the result from there by slices, too, and makes no copy of each leaf.
    """
    vectors = jnp.stack([ravel_pytree(tree)[0] for tree in params])
    return jax.vmap(ravel_pytree(params[0])[1])(vectors)


def stacked(trees: Sequence[Any]) -> Any:
    """Return pytrees of equal structures and shapes as one whose leaves have a leading axis of trees."""
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)
