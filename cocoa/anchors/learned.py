"""Anchors that one network finds: distilled from a walk of many evaluations, or by taking noise away."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from cocoa.anchors.base import AnchorMap
from cocoa.anchors.decomposition import in_chunks
from cocoa.dynamics.config import EnsembleConfig
from cocoa.dynamics.ensemble import Ensemble

NETWORK = EnsembleConfig(
    members=1,
    elites=1,
    hidden=(256, 256),
    weight_decay=(0.0, 0.0, 0.0),
    learning_rate=1e-3,
    learning_rate_decay=False,
    batch_size=512,
    max_epochs=30,
    max_updates=None,
    variance_exponent=0.0,
)
"""The network, and how it is trained: until it stops improving."""
_NOISE = (0.03, 2.0)  # standard deviations of the data: from next to it to far off


@struct.dataclass
class NetworkMap:
    """Anchors s + h(s) with a network h."""

    network: Ensemble

    def __call__(self, states: jax.Array) -> jax.Array:
        """Return the anchors of states (..., O)."""
        return states + self.network.mean(states)


def with_noise(states: np.ndarray, std: np.ndarray, seed: int) -> np.ndarray:
    """Return (2 N, O): the `states` (N, O), and the same with normal noise.

    The noise has a size drawn log-uniformly for each row between 0.03 and 2 standard deviations `std` (O,).
    """
    rng = np.random.default_rng(seed)
    size = np.exp(rng.uniform(np.log(_NOISE[0]), np.log(_NOISE[1]), (len(states), 1)))
    noise = size * rng.standard_normal(states.shape)
    return np.concatenate([states, (states + std * noise).astype(np.float32)])


def denoising_data(states: np.ndarray, std: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return inputs (2 N, O), see `with_noise`, and targets (2 N, O), the way back to the state.

    The least squares solution is E[state | noisy state] - noisy state: it leads to the data (Vincent 2011).
    """
    inputs = with_noise(states, std, seed)
    return inputs, np.concatenate([states, states]) - inputs


def distillation_data(
    anchors: AnchorMap, states: np.ndarray, std: np.ndarray, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return inputs (2 N, O), see `with_noise`, and targets (2 N, O), the way s̃ - s of `anchors`."""
    inputs = with_noise(states, std, seed)
    return inputs, in_chunks(anchors, inputs) - inputs


def distillation_report(
    exact: AnchorMap,
    amortised: NetworkMap,
    states: np.ndarray,
    std: np.ndarray,
    seed: int,
    samples: int = 1000,
) -> dict[str, float]:
    """Return root mean squared errors of the network's anchors, as a share of the size of the differences.

    `amortised/data` is measured on `samples` of the data's `states` (N, O), `amortised/perturbed` on the same
    with noise that the network has not seen; `std` (O,) is the unit.
    """
    rows = np.random.default_rng(seed).integers(0, len(states), samples)
    inputs, targets = distillation_data(exact, states[rows], std, seed)
    errors = np.asarray(amortised(jnp.asarray(inputs))) - inputs - targets

    def size(x: np.ndarray) -> float:
        return float(np.sqrt(((x / std) ** 2).sum(axis=1).mean()))

    groups = {"data": slice(samples), "perturbed": slice(samples, None)}
    return {f"amortised/{name}": size(errors[part]) / size(targets[part]) for name, part in groups.items()}
