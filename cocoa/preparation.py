"""The chain of artefacts before training: models of the environment, seeker, anchors."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from algos.base import Batch
from cocoa.anchors import Anchors, Ingredients, SeekerFit, build_anchors, moments, needs_models
from cocoa.artefacts import History, Store, fingerprint
from cocoa.config import CocoaConfig, Config
from cocoa.data import Dataset, Scaling
from cocoa.decomposition import Observe, in_chunks
from cocoa.errors import DataError
from dynamics.ensemble import Ensemble
from dynamics.fit import EnsembleFit
from dynamics.forward import ForwardModel, forward_data
from dynamics.report import holdout_report
from dynamics.reverse import ReverseModel, reverse_data, reverse_rollouts

Stage = Callable[[str], AbstractContextManager[Any]]
"""`with stage(name):` accounts the time spent to that stage."""


@struct.dataclass
class AnchorTable:
    """The anchors of the dataset's states, both (N, O), environment units."""

    observation: jax.Array
    next_observation: jax.Array


@dataclass(frozen=True)
class Models:
    """What was learned of the environment, with the story of it."""

    forward: ForwardModel
    reverse: ReverseModel
    report: dict[str, float]
    """Errors on held-out transitions, physical units."""
    histories: dict[str, History]
    """The metrics of each epoch, by kind of model."""


class Preparation:
    """Builds, or finds in the cache, what one set of models gives for one dataset.

    Every artefact is a function of the dataset, the configuration and `seed` alone.
    """

    def __init__(self, config: Config, dataset: Dataset, batch: Batch, store: Store, stage: Stage, seed: int):
        """`batch` holds all transitions: states in the environment's units, actions in [-1, 1]."""
        self.config = config
        self.dataset = dataset
        self.batch = batch
        self.store = store
        self.stage = stage
        self.key = jax.random.key(seed)
        self.source = {"dataset": dataset.sha256, "env": dataset.env, "seed": seed}

    def models(self) -> Models:
        """Return forward and reverse dynamics, fitted to the transitions whose next state is known."""
        known = self.dataset.next_observed
        states, actions = self.dataset.observations[known], np.asarray(self.batch.action)[known]
        next_states = self.dataset.next_observations[known]
        forward_arrays = forward_data(states, actions, self.dataset.rewards[known], next_states)
        reverse_arrays = reverse_data(states, actions, next_states)
        forward_fit = EnsembleFit(self.config.dynamics, *forward_arrays, self._key("forward"))
        reverse_fit = EnsembleFit(self.config.dynamics, *reverse_arrays, self._key("reverse"))
        with self.stage("forward"):
            forward, forward_history = self._fit_model("forward", forward_fit)
        with self.stage("reverse"):
            reverse, reverse_history = self._fit_model("reverse", reverse_fit)
        rows = forward_fit.holdout
        held_out = (states[rows], actions[rows], self.dataset.rewards[known][rows], next_states[rows])
        models = ForwardModel(forward), ReverseModel(reverse)
        report = holdout_report(*models, *held_out)
        return Models(*models, report, {"forward": forward_history, "reverse": reverse_history})

    def anchors(self, cocoa: CocoaConfig) -> tuple[Anchors, Models | None, History]:
        """Return the map from states to anchors, the models behind it if any, and the seeker's history."""
        ingredients = Ingredients(
            self.dataset.observations, self.dataset.episodes, self.state_std(), self._key("anchors")
        )
        if not needs_models(cocoa.variant):
            return build_anchors(cocoa, ingredients), None, []
        models = self.models()
        alike = SeekerFit(cocoa.seeker, self.batch.observation[:2], self.batch.action[:2], self.key)
        with self.stage("seeker"):
            seeker, history = self.store.fit(
                "seeker", self._seeker(cocoa), lambda: self._fit_seeker(cocoa, models), alike
            )
        ingredients = replace(ingredients, forward=models.forward, seeker=seeker)
        return build_anchors(cocoa, ingredients), models, history

    def table(self, cocoa: CocoaConfig, anchors: Anchors) -> AnchorTable:
        """Return the anchors of all states, each distinct state's computed once."""
        specification = self._seeker(cocoa) | {
            "forward": fingerprint(self._model("forward")),
            "cocoa": asdict(replace(cocoa, per_seed=False)),
        }
        with self.stage("anchors"):
            return self.store.compute(
                "anchors",
                specification,
                lambda: anchor_table(anchors, self.dataset.observations, self.dataset.next_observations),
                AnchorTable(jnp.empty(0), jnp.empty(0)),
            )

    def state_std(self) -> np.ndarray:
        """Return the standard deviation (O,) of the states; 1 where they do not vary."""
        return moments(self.dataset.observations)[1]

    def _fit_model(self, kind: str, fit: EnsembleFit) -> tuple[Ensemble, History]:
        try:
            return self.store.fit(kind, self._model(kind), lambda: fit, fit)
        except ValueError as error:  # of dynamics/, which knows no errors of ours
            raise DataError(f"The {kind} model of {self.dataset.name} cannot be fitted: {error}") from error

    def _fit_seeker(self, cocoa: CocoaConfig, models: Models) -> SeekerFit:
        states, actions = reverse_rollouts(
            models.reverse,
            self.batch.next_observation[self.dataset.next_observed],
            self.batch.action,
            self._key("rollouts"),
            cocoa.rollout_length,
            cocoa.rollout_scale,
            cocoa.rollout_noise,
        )
        return SeekerFit(cocoa.seeker, states, actions, self._key("seeker"))

    def _key(self, purpose: str) -> jax.Array:
        number = ("forward", "reverse", "rollouts", "seeker", "anchors").index(purpose)
        return jax.random.fold_in(self.key, number)

    def _model(self, kind: str) -> dict[str, Any]:
        return {**self.source, "kind": kind, "config": asdict(self.config.dynamics)}

    def _seeker(self, cocoa: CocoaConfig) -> dict[str, Any]:
        rollouts = (cocoa.rollout_length, cocoa.rollout_scale, cocoa.rollout_noise)
        return {
            **self.source,
            "reverse": fingerprint(self._model("reverse")),
            "rollouts": rollouts,
            "config": asdict(cocoa.seeker),
        }


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


@dataclass(frozen=True)
class Prepared:
    """What training needs, and what is to be told of the preparation."""

    data: Batch
    """All transitions with observations as the networks see them; leaves (N, ...) or, with `per_seed`, the
    observations' (seeds, N, ...)."""
    observe: Observe
    """From states to observations; with `per_seed` leaves have a leading axis of seeds."""
    per_seed: bool
    anchors: list[Anchors]
    """One, or with `per_seed` one per seed; none in a plain run."""
    std: np.ndarray
    """Standard deviation of the states, (O,)."""
    reports: list[dict[str, float]]
    """Held-out errors of the models of each set."""
    histories: list[dict[str, History]]
    """By set of models: the metrics of each epoch, by stage."""


def prepare_run(
    config: Config, dataset: Dataset, batch: Batch, scaling: Scaling, store: Store, stage: Stage
) -> Prepared:
    """Build what training needs. Models and anchors are shared by all seeds unless `cocoa.per_seed`.

    Shared ones are those of seed 0, whatever the seeds of the run, so that all runs find the same.
    """
    mean, std = jnp.asarray(scaling.observation_mean), jnp.asarray(scaling.observation_std)
    cocoa = config.cocoa
    state_std = moments(dataset.observations)[1]
    if cocoa is None:
        observe = Observe(mean, std)
        data = _on_device(
            batch, observe(jnp.asarray(batch.observation)), observe(jnp.asarray(batch.next_observation))
        )
        return Prepared(data, observe, False, [], state_std, [], [])
    found: list[Anchors] = []
    tables: list[AnchorTable] = []
    reports: list[dict[str, float]] = []
    histories: list[dict[str, History]] = []
    for seed in config.seeds if cocoa.per_seed else (0,):
        preparation = Preparation(config, dataset, batch, store, stage, seed)
        anchors, models, seeker_history = preparation.anchors(cocoa)
        found.append(anchors)
        tables.append(preparation.table(cocoa, anchors))
        if models is not None:
            reports.append(models.report)
            histories.append({**models.histories, "seeker": seeker_history})
    stack = _stack if cocoa.per_seed else (lambda trees: trees[0])
    table = stack(tables)
    observe = Observe(mean, std, found[0])
    data = _on_device(
        batch,
        observe.express(jnp.asarray(batch.observation), table.observation),
        observe.express(jnp.asarray(batch.next_observation), table.next_observation),
    )
    if cocoa.per_seed:
        observe = _stack([Observe(mean, std, anchors) for anchors in found])
    return Prepared(data, observe, cocoa.per_seed, found, state_std, reports, histories)


def _stack(trees: list[Any]) -> Any:
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


def _on_device(batch: Batch, observation: Any, next_observation: Any) -> Batch:
    """Return the batch with these observations, everything on the device."""
    rest = (jnp.asarray(x) for x in (batch.action, batch.reward, batch.terminal))
    return Batch(observation, *rest, next_observation=next_observation)
