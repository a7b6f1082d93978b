"""The pieces of a run for a training loop of one's own."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

import jax

from cocoa.algos.base import Array, Batch, World
from cocoa.algos.networks import Networks
from cocoa.anchors.decomposition import Observe
from cocoa.anchors.encoder import build_networks
from cocoa.config.schema import Config
from cocoa.data import Dataset, Scaling, batch_for, split, unnormalized_batch
from cocoa.dynamics.xla.numerics import numerics
from cocoa.preparation.cache import Store
from cocoa.preparation.inputs import build_inputs
from cocoa.runs.progress import Progress, Stopper
from cocoa.training.seeds import of_seed


@dataclass(frozen=True)
class Pieces:
    """What an algorithm's `init`, `update` and `act` take, plain or with an anchor variant."""

    data: Batch
    """All transitions to train on, leaves (N, ...), on the device, with observations as the networks see
    them."""
    networks: Networks
    """The networks, behind the transductive encoder with an anchor variant."""
    observe: Observe
    """Maps states (..., O), environment units, to observations."""
    scaling: Scaling
    """`to_environment` maps actions in [-1, 1] to environment units."""
    world: World | None
    """The learned environment, for the batch source of a model-based algorithm."""


def build_pieces(config: Config, dataset: Dataset) -> Pieces:
    """Return the pieces of a run with this configuration.

    Models and anchors are fitted or read from the cache; where each seed has its own, these are those of the
    first. Raises DataError for data to which they cannot be fitted.
    """
    episodes, _ = split(dataset, config.data)
    batch, scaling = unnormalized_batch(episodes, config.data)
    batch = batch_for(config.algo, batch, episodes)
    store = Store(config.cache_dir, Progress(print, Stopper(print)))
    with numerics():
        inputs = build_inputs(config, episodes, batch, scaling, store, lambda _: contextlib.nullcontext())
        data, observe, world = (of_seed(part, 0) for part in (inputs.data, inputs.observe, inputs.world))
    networks = build_networks(config.algo, config.cocoa, data.action.shape[1])
    return Pieces(data, networks, observe, scaling, world)


def sample(data: Batch, key: Array, size: int) -> Batch:
    """Return `size` transitions of `data`, leaves (N, ...), drawn uniformly with replacement."""
    rows = jax.random.randint(key, (size,), 0, len(data.reward))
    return jax.tree.map(lambda column: column[rows], data)
