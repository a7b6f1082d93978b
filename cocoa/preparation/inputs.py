"""Builds what training needs: models and anchors are made, and all states become observations."""

from __future__ import annotations

import operator
from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np

from cocoa.algos.base import Batch, World
from cocoa.anchors import AnchorMap
from cocoa.anchors.decomposition import Observe, in_chunks
from cocoa.anchors.table import AnchorTable, express_all
from cocoa.config.schema import Config
from cocoa.data import Dataset, Scaling
from cocoa.preparation.anchors import build_anchors
from cocoa.preparation.cache import History, Store
from cocoa.preparation.models import ModelSet, Stage
from cocoa.training.seeds import PerSeed, unstack


@dataclass(frozen=True)
class PreparationReport:
    """What is logged of the preparation; its lists have an entry for each set of models."""

    seeds: tuple[int, ...] | None
    """The seeds of the sets of models; None: there is one set, which all seeds share."""
    anchors: list[AnchorMap]
    """Empty in a plain run."""
    errors: list[dict[str, float]]
    """Errors of the models on held-out transitions; empty without models."""
    histories: list[dict[str, History]]
    """The metrics of each epoch, by stage; empty without models."""


@dataclass(frozen=True)
class TrainingInputs:
    """What a training needs; parts are `PerSeed` where each seed has its own models."""

    data: Batch
    """All transitions, leaves (N, ...), with observations as the networks see them."""
    observe: Observe | PerSeed
    """From states to observations."""
    world: World | PerSeed | None
    """The learned environment, if the algorithm needs one."""
    report: PreparationReport


def build_inputs(
    config: Config,
    dataset: Dataset,
    batch: Batch,
    scaling: Scaling,
    store: Store,
    stage: Stage,
    on_host: bool = False,
) -> TrainingInputs:
    """Build what training needs. Models and anchors are shared by all seeds unless `cocoa.per_seed`.

    With `on_host` the transitions returned are NumPy arrays; models, if any are needed, are fitted to all of
    them on a device nevertheless. Shared models are those of seed 0, whatever the seeds of the run, so that
    all runs share them.
    """
    cocoa, algorithm = config.cocoa, config.algo
    seeds = config.seeds if cocoa is not None and cocoa.per_seed else None
    model_sets = [ModelSet(config, dataset, batch, store, stage, seed) for seed in seeds or (0,)]
    join = PerSeed.stack if seeds else operator.itemgetter(0)
    anchors = [build_anchors(models, cocoa) for models in model_sets] if cocoa else []
    maps = [own.map for own in anchors]
    mean, std = jax.device_put((scaling.observation_mean, scaling.observation_std))
    observes = [Observe(mean, std, own) for own in maps or [None]]
    table = join([own.table for own in anchors]) if anchors else None
    world = None
    if algorithm.members:
        rule = algorithm.termination
        world = join([models.world(rule, own) for models, own in zip(model_sets, observes, strict=True)])
    report = PreparationReport(
        seeds,
        maps,
        [models.report for models in model_sets if models.report],
        [models.histories for models in model_sets if models.histories],
    )
    return TrainingInputs(_expressed(batch, observes[0], table, on_host), join(observes), world, report)


def observed(batch: Batch, observe: Observe | PerSeed) -> Batch:
    """Return transitions that are in no table, with their states (..., O) as observations."""

    def express(states: np.ndarray) -> Any:
        rows = states.reshape(-1, states.shape[-1])
        if isinstance(observe, PerSeed):
            return PerSeed.stack([of_rows(own, rows) for own in unstack(observe)])
        return of_rows(observe, rows)

    def of_rows(own: Observe, rows: np.ndarray) -> Any:
        shape = batch.reward.shape
        return jax.tree.map(lambda x: x.reshape(*shape, -1), in_chunks(own, rows))

    return replace(
        batch,
        observation=express(batch.observation),
        next_observation=express(batch.next_observation),
    )


def _expressed(batch: Batch, observe: Observe, table: AnchorTable | PerSeed | None, on_host: bool) -> Batch:
    """Return the transitions with their states as observations, on the device or as NumPy arrays.

    Of a `table` for each seed, the observations are `PerSeed`; seeds differ in nothing else of `observe`.
    """
    move = np.asarray if on_host else jax.device_put
    separate = isinstance(table, PerSeed)
    anchors = table.values if separate else table

    def express(name: str) -> Any:
        observation = express_all(observe, getattr(batch, name), getattr(anchors, name, None), on_host)
        return PerSeed(observation) if separate else observation

    names = "observation", "next_observation"
    rest = {name: move(value) for name, value in vars(batch).items() if name not in names}
    return replace(batch, **{name: express(name) for name in names}, **rest)
