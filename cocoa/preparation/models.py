"""The chain of artefacts before training: models of the environment, seeker, anchors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, replace
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cocoa.algos.base import Batch, World
from cocoa.anchors import Anchors, Ingredients, SeekerFit, build_anchors, moments, needs
from cocoa.anchors.config import CocoaConfig
from cocoa.anchors.learned import NETWORK, Learned, denoising_data, distillation_data, distillation_report
from cocoa.anchors.table import AnchorTable, anchor_table
from cocoa.config.schema import Config
from cocoa.data import Dataset, reward_map
from cocoa.data.spaces import spaces
from cocoa.dynamics.accuracy import forward_report, reverse_report
from cocoa.dynamics.ensemble import Ensemble
from cocoa.dynamics.fit import EnsembleFit
from cocoa.dynamics.forward import ForwardModel, forward_data
from cocoa.dynamics.reverse import ReverseModel, reverse_data, reverse_rollouts
from cocoa.dynamics.termination import termination_data
from cocoa.errors import DataError
from cocoa.preparation.cache import History, Store, fingerprint
from cocoa.preparation.termination import find_termination

Stage = Callable[[str], AbstractContextManager[Any]]
"""`with stage(name):` accounts the time spent to that stage."""


class Preparation:
    """Builds, or finds in the cache, what one set of models gives for one dataset.

    Every artefact is a function of the dataset, the configuration and `seed` alone. `report` has errors on
    held-out transitions, in physical units, and `histories` the metrics of each epoch, by stage.
    """

    def __init__(self, config: Config, dataset: Dataset, batch: Batch, store: Store, stage: Stage, seed: int):
        """`batch` holds all transitions: states in the environment's units, actions in [-1, 1]."""
        self.config = config
        self.dataset = dataset
        self.batch = batch
        self.store = store
        self.stage = stage
        self.key = jax.random.key(seed)
        self.source = {
            "dataset": dataset.sha256,
            "env": dataset.env,
            "action_bounds": _action_bounds(dataset.env),
            "top_episodes": config.data.top_episodes,
            "seed": seed,
        }
        known = dataset.next_observed
        self.known = (
            dataset.observations[known],
            np.asarray(batch.action)[known],
            dataset.rewards[known],
            dataset.next_observations[known],
        )
        self.report: dict[str, float] = {}
        self.histories: dict[str, History] = {}

    @cached_property
    def forward(self) -> ForwardModel:
        """The forward dynamics, fitted to the transitions whose next state is known."""
        fit = self._ensemble_fit("forward", *forward_data(*self.known))
        model = ForwardModel(self._ensemble("forward", fit))
        self.report |= forward_report(model, *(rows[fit.holdout] for rows in self.known))
        return model

    @cached_property
    def reverse(self) -> ReverseModel:
        """The reverse dynamics, fitted to the same transitions."""
        states, actions, _, next_states = self.known
        fit = self._ensemble_fit("reverse", *reverse_data(states, actions, next_states))
        model = ReverseModel(self._ensemble("reverse", fit))
        self.report |= reverse_report(self.forward, model, *(rows[fit.holdout] for rows in self.known))
        return model

    def world(self, termination: str, observe: Any) -> World:
        """Return the learned environment, whose episodes end as `termination` says.

        Raises ConfigError if that does not tell when they end.
        """
        scale, shift = reward_map(self.dataset, self.config.data.reward_normalization)
        ends = find_termination(termination, self.dataset, self._learned_termination)
        return World(self.forward, observe, ends, jnp.float32(scale), jnp.float32(shift))

    def _learned_termination(self) -> Ensemble:
        states, actions, _, next_states = self.known
        terminals = self.dataset.terminals[self.dataset.next_observed]
        fit = self._ensemble_fit("termination", *termination_data(states, actions, next_states, terminals))
        return self._ensemble("termination", fit)

    def anchors(self, cocoa: CocoaConfig) -> Anchors:
        """Return the map from states to anchors."""
        exact = self._exact_anchors(cocoa)
        if not cocoa.amortised:
            return exact
        states, std, seed = self.dataset.observations, self.state_std(), self.source["seed"]
        network = self._network(
            "amortised", self._anchors(cocoa), lambda: distillation_data(exact, states, std, seed)
        )
        self.report |= distillation_report(exact, Learned(network), states, std, seed + 1)
        return Learned(network)

    def _denoiser(self) -> Ensemble:
        states, seed = self.dataset.observations, self.source["seed"]
        return self._network("denoiser", self.source, lambda: denoising_data(states, self.state_std(), seed))

    def _network(
        self, kind: str, source: dict[str, Any], data: Callable[[], tuple[np.ndarray, np.ndarray]]
    ) -> Ensemble:
        """Return a network fitted to `data`, inputs and targets like states, and note its history."""
        key, few = self._key(kind), self.dataset.observations[:2]
        with self._told_as_data_error(kind), self.stage(kind):
            found, self.histories[kind] = self.store.fit(
                kind,
                source | {"network": asdict(NETWORK)},
                lambda: EnsembleFit(NETWORK, *data(), key),
                EnsembleFit(NETWORK, few, few, key),
            )
        return found

    def _exact_anchors(self, cocoa: CocoaConfig) -> Anchors:
        ingredients = Ingredients(
            self.dataset.observations, self.dataset.episodes, self.state_std(), self._key("anchors")
        )
        if needs(cocoa.variant) == "network":
            ingredients = replace(ingredients, network=self._denoiser())
        if needs(cocoa.variant) != "models":
            return build_anchors(cocoa, ingredients)
        forward = self.forward
        self.reverse  # noqa: B018  # built here, so that its time counts for its own stage
        example = SeekerFit(cocoa.seeker, self.batch.observation[:2], self.batch.action[:2], self.key)
        with self.stage("seeker"):
            seeker, self.histories["seeker"] = self.store.fit(
                "seeker", self._seeker(cocoa), lambda: self._fit_seeker(cocoa), example
            )
        return build_anchors(cocoa, replace(ingredients, forward=forward, seeker=seeker))

    def table(self, cocoa: CocoaConfig, anchors: Anchors) -> AnchorTable:
        """Return the anchors of all states, each distinct state's computed once."""
        with self.stage("anchors"):
            return self.store.compute(
                "anchors",
                self._anchors(cocoa),
                lambda: anchor_table(anchors, self.dataset.observations, self.dataset.next_observations),
                AnchorTable(*[np.broadcast_to(np.float32(0), self.dataset.observations.shape)] * 2),
            )

    def state_std(self) -> np.ndarray:
        """Return the standard deviation (O,) of the states; 1 where they do not vary."""
        return moments(self.dataset.observations)[1]

    def _ensemble_fit(self, kind: str, inputs: np.ndarray, targets: np.ndarray) -> EnsembleFit:
        with self._told_as_data_error(kind):
            return EnsembleFit(self.config.dynamics, inputs, targets, self._key(kind))

    def _ensemble(self, kind: str, fit: EnsembleFit) -> Ensemble:
        """Return the fitted ensemble, and note its history."""
        with self._told_as_data_error(kind), self.stage(kind):
            found, self.histories[kind] = self.store.fit(kind, self._model(kind), lambda: fit, fit)
        return found

    @contextmanager
    def _told_as_data_error(self, kind: str) -> Iterator[None]:
        """Turn an error of dynamics/, which knows none of ours, into one."""
        try:
            yield
        except ValueError as error:
            raise DataError(f"The {kind} model of {self.dataset.name} cannot be fitted: {error}.") from error

    def _fit_seeker(self, cocoa: CocoaConfig) -> SeekerFit:
        states, actions = reverse_rollouts(
            self.reverse,
            self.batch.next_observation[self.dataset.next_observed],
            self.batch.action,
            self._key("rollouts"),
            cocoa.rollout_length,
            cocoa.rollout_scale,
            cocoa.rollout_noise,
        )
        return SeekerFit(cocoa.seeker, states, actions, self._key("seeker"))

    def _key(self, purpose: str) -> jax.Array:
        number = (
            "forward",
            "reverse",
            "rollouts",
            "seeker",
            "anchors",
            "termination",
            "amortised",
            "denoiser",
        ).index(purpose)
        return jax.random.fold_in(self.key, number)

    def _model(self, kind: str) -> dict[str, Any]:
        return {**self.source, "kind": kind, "config": asdict(self.config.dynamics)}

    def _anchors(self, cocoa: CocoaConfig) -> dict[str, Any]:
        return self._seeker(cocoa) | {
            "forward": fingerprint(self._model("forward")),
            "cocoa": asdict(replace(cocoa, per_seed=False)),
        }

    def _seeker(self, cocoa: CocoaConfig) -> dict[str, Any]:
        rollouts = (cocoa.rollout_length, cocoa.rollout_scale, cocoa.rollout_noise)
        return {
            **self.source,
            "reverse": fingerprint(self._model("reverse")),
            "rollouts": rollouts,
            "config": asdict(cocoa.seeker),
        }


def _action_bounds(env: str | None) -> list[list[float]] | None:
    """Return the bounds that actions are scaled by: an id may be registered again with others."""
    bounds = spaces(env) if env else None
    return bounds and [bounds.action_low.tolist(), bounds.action_high.tolist()]
