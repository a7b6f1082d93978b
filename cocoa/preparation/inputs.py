"""Prepares a run: gets models and anchors made, and puts together what training needs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cocoa.algos.base import Algorithm, Batch, World
from cocoa.anchors import Anchors
from cocoa.anchors.decomposition import Observe
from cocoa.anchors.table import AnchorTable, express_all
from cocoa.config.schema import Config
from cocoa.data import Dataset, Scaling
from cocoa.preparation.cache import History, Store
from cocoa.preparation.models import Preparation, Stage


@dataclass(frozen=True)
class Prepared:
    """What training needs, and what is to be told of the preparation."""

    data: Batch
    """All transitions with observations as the networks see them; leaves (N, ...) or, with `per_seed`, the
    observations' (seeds, N, ...)."""
    observe: Observe
    """From states to observations; with `per_seed` leaves have a leading axis of seeds."""
    world: World | None
    """The learned environment, if the algorithm needs one; with `per_seed` with an axis of seeds."""
    per_seed: bool
    anchors: list[Anchors]
    """One, or with `per_seed` one per seed; none in a plain run."""
    std: np.ndarray
    """Standard deviation of the states, (O,)."""
    reports: list[dict[str, float]]
    """Held-out errors of the models of each set; empty if there are none."""
    histories: list[dict[str, History]]
    """By set of models: the metrics of each epoch, by stage."""

    def of_seeds(self, seeds: slice) -> Prepared:
        """Return what these seeds of the run need for their training."""
        if not self.per_seed:
            return self
        data = self.data
        own = (data.observation, data.next_observation, self.observe, self.world)
        observation, next_observation, observe, world = jax.tree.map(lambda x: x[seeds], own)
        data = replace(data, observation=observation, next_observation=next_observation)
        return replace(self, data=data, observe=observe, world=world)


def prepare_run(
    config: Config,
    dataset: Dataset,
    batch: Batch,
    scaling: Scaling,
    store: Store,
    stage: Stage,
    on_host: bool = False,
) -> Prepared:
    """Build what training needs. Models and anchors are shared by all seeds unless `cocoa.per_seed`.

    With `on_host` the transitions returned are NumPy arrays; models, if any are needed, are fitted to all of
    them on a device nevertheless. Shared models are those of seed 0, whatever the seeds of the run, so that
    all runs find the same.
    """
    cocoa = config.cocoa
    per_seed = cocoa is not None and cocoa.per_seed
    seeds = config.seeds if per_seed else (0,)
    makers = [Preparation(config, dataset, batch, store, stage, seed) for seed in seeds]
    anchors = [maker.anchors(cocoa) for maker in makers] if cocoa else []
    observes = [
        Observe(jnp.asarray(scaling.observation_mean), jnp.asarray(scaling.observation_std), found)
        for found in anchors or [None]
    ]
    tables = (
        [maker.table(cocoa, found) for maker, found in zip(makers, anchors, strict=True)] if cocoa else []
    )
    join = _stack if per_seed else (lambda trees: trees[0])
    return Prepared(
        data=_expressed(batch, observes[0], join(tables) if tables else None, on_host),
        observe=join(observes),
        world=join(_worlds(config.algo, makers, observes)) if config.algo.members else None,
        per_seed=per_seed,
        anchors=anchors,
        std=makers[0].state_std(),
        reports=[maker.report for maker in makers if maker.report],
        histories=[maker.histories for maker in makers if maker.histories],
    )


def _expressed(batch: Batch, observe: Observe, table: AnchorTable | None, on_host: bool) -> Batch:
    """Return the transitions with their states as observations, on the device or as NumPy arrays."""
    move = np.asarray if on_host else jnp.asarray
    names = "observation", "next_observation"
    states = {name: (getattr(batch, name), getattr(table, name, None)) for name in names}
    observations = {name: express_all(observe, *given, on_host) for name, given in states.items()}
    rest = {name: move(value) for name, value in vars(batch).items() if name not in names}
    return replace(batch, **observations, **rest)


def _worlds(algorithm: Algorithm, makers: list[Preparation], observes: list[Observe]) -> list[World]:
    termination = algorithm.termination  # type: ignore[attr-defined]
    return [maker.world(termination, observe) for maker, observe in zip(makers, observes, strict=True)]


def _stack(trees: list[Any]) -> Any:
    return jax.tree.map(
        lambda *leaves: np.stack(leaves) if isinstance(leaves[0], np.ndarray) else jnp.stack(leaves), *trees
    )
