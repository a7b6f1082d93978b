"""The models of a dataset: dynamics, seeker, denoiser, learned termination."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cocoa.algos.base import Batch, World
from cocoa.anchors import learned
from cocoa.anchors.seeker import Seeker, SeekerConfig, SeekerFit, seeker_template
from cocoa.config.schema import Config
from cocoa.data import Dataset, action_bounds, reward_map
from cocoa.dynamics.accuracy import forward_report, reverse_report
from cocoa.dynamics.config import EnsembleConfig
from cocoa.dynamics.ensemble import Ensemble, ensemble_template
from cocoa.dynamics.fit import EnsembleFit, held_out_rows
from cocoa.dynamics.forward import ForwardModel, forward_data
from cocoa.dynamics.moments import divisor, moments
from cocoa.dynamics.reverse import ReverseModel, reverse_data, reverse_rollouts
from cocoa.dynamics.termination import termination_data
from cocoa.dynamics.xla.numerics import HIGHEST
from cocoa.errors import DataError
from cocoa.preparation.cache import History, Store, fingerprint
from cocoa.preparation.termination import find_termination
from cocoa.storage.serialization import digest

Stage = Callable[[str], AbstractContextManager[Any]]
"""`with stage(name):` accounts the time spent to that stage."""
Specification = dict[str, Any]
"""Everything that an artifact depends on, as JSON-serialisable values."""

_KEYS = ("forward", "reverse", "rollouts", "seeker", "anchors", "termination", "amortised", "denoiser")


class ModelSet:
    """The models of a dataset for one seed, each fitted, or read from the cache, when it is first used.

    Every model is a function of the dataset, the configuration and the seed alone. What comes from the cache
    touches no data.
    """

    def __init__(self, config: Config, dataset: Dataset, batch: Batch, store: Store, stage: Stage, seed: int):
        """`batch` holds all transitions: states in the environment's units, actions in [-1, 1]."""
        self.config = config
        self.dataset = dataset
        self.batch = batch
        self.store = store
        self.stage = stage
        self.seed = seed
        self.report: dict[str, float] = {}
        """Errors on held-out transitions, in physical units, of the models that have been used."""
        self.histories: dict[str, History] = {}
        """The metrics of each epoch, by stage, of the models that have been used."""
        self.state_dim, self.action_dim = batch.observation.shape[1], batch.action.shape[1]

    def key(self, purpose: str) -> jax.Array:
        """Return the PRNG key for a purpose."""
        return jax.random.fold_in(jax.random.key(self.seed), _KEYS.index(purpose))

    @cached_property
    def known(self) -> tuple[np.ndarray, ...]:
        """States, actions, rewards and next states of the transitions whose next state is known."""
        known = self.dataset.next_observed
        return (
            self.dataset.observations[known],
            np.asarray(self.batch.action)[known],
            self.dataset.rewards[known],
            self.dataset.next_observations[known],
        )

    @cached_property
    def state_std(self) -> np.ndarray:
        """The standard deviation (O,) of the states; 1 where they do not vary."""
        return divisor(moments(self.dataset.observations)[1])

    @cached_property
    def forward(self) -> ForwardModel:
        """The forward dynamics, fitted to the transitions whose next state is known."""
        ensemble = self._ensemble(
            "forward",
            lambda: forward_data(*self.known),
            (self.state_dim + self.action_dim, self.state_dim + 1),
            lambda ensemble: forward_report(ForwardModel(ensemble), *self._held_out()),
        )
        return ForwardModel(ensemble)

    @cached_property
    def reverse(self) -> ReverseModel:
        """The reverse dynamics, fitted to the same transitions."""
        forward = self.forward  # its time counts for its own stage

        def data() -> tuple[np.ndarray, np.ndarray]:
            states, actions, _, next_states = self.known
            return reverse_data(states, actions, next_states)

        ensemble = self._ensemble(
            "reverse",
            data,
            (self.state_dim + self.action_dim, self.state_dim),
            lambda ensemble: reverse_report(forward, ReverseModel(ensemble), *self._held_out()),
        )
        return ReverseModel(ensemble)

    def seeker(self, config: SeekerConfig, length: int, scale: float, noise: float) -> Seeker:
        """Return the anchor seeker, trained on reverse rollouts of these settings; see `reverse_rollouts`."""
        reverse = self.reverse  # its time counts for its own stage

        def fit() -> SeekerFit:
            starts = self.batch.next_observation[self.dataset.next_observed]
            rollouts = (self.batch.action, self.key("rollouts"), length, scale, noise)
            return SeekerFit(config, *reverse_rollouts(reverse, starts, *rollouts), self.key("seeker"))

        specification = self.seeker_specification(config, length, scale, noise)
        with self.stage("seeker"):
            fitted = self.store.fit(
                "seeker", specification, fit, seeker_template(config, self.state_dim, self.action_dim)
            )
        self.histories["seeker"] = fitted.history
        return fitted.result

    @cached_property
    def denoiser(self) -> Ensemble:
        """A network that leads noisy states back to the data."""
        return self.network(
            "denoiser",
            self.denoiser_specification,
            lambda: learned.denoising_data(self.dataset.observations, self.state_std, self.seed),
        )

    def network(
        self,
        kind: str,
        specification: Specification,
        data: Callable[[], tuple[np.ndarray, np.ndarray]],
        report: Callable[[Ensemble], dict[str, float]] = lambda network: {},
    ) -> Ensemble:
        """Return a network from states to states (`learned.NETWORK`), fitted to inputs and targets (N, O)."""
        sizes = (self.state_dim, self.state_dim)
        return self._fit(kind, specification, learned.NETWORK, data, sizes, report)

    def world(self, termination: str, observe: Any) -> World:
        """Return the learned environment, whose episodes end as `termination` says.

        Raises ConfigError if that does not tell when they end.
        """
        scale, shift = reward_map(self.dataset, self.config.data)
        ends = find_termination(termination, self.dataset, self._learned_termination)
        return World(self.forward, observe, ends, jnp.float32(scale), jnp.float32(shift))

    def _learned_termination(self) -> Ensemble:
        def data() -> tuple[np.ndarray, np.ndarray]:
            states, actions, _, next_states = self.known
            terminals = self.dataset.terminals[self.dataset.next_observed]
            return termination_data(states, actions, next_states, terminals)

        return self._ensemble("termination", data, (2 * self.state_dim + self.action_dim, 1))

    @cached_property
    def states_specification(self) -> Specification:
        """What an artifact that depends on the states alone depends on."""
        # The same file holds other transitions where the environment has another time limit.
        columns = {"episodes": self.dataset.episodes, "next_observed": self.dataset.next_observed}
        return {
            "dataset": self.dataset.sha256,
            "transitions": digest(columns),
            "matmul_precision": HIGHEST,
        }

    @property
    def denoiser_specification(self) -> Specification:
        """What the denoiser depends on."""
        return self.states_specification | {"seed": self.seed, "network": asdict(learned.NETWORK)}

    def dynamics_specification(self, kind: str) -> Specification:
        """Return what the model `kind` (forward, reverse or termination) depends on."""
        return {
            **self.states_specification,
            "kind": kind,
            # An environment's id may be registered again with others.
            "action_bounds": [bound.tolist() for bound in action_bounds(self.dataset)],
            "seed": self.seed,
            "config": asdict(self.config.dynamics),
        }

    def seeker_specification(
        self, config: SeekerConfig, length: int, scale: float, noise: float
    ) -> Specification:
        """Return what a seeker depends on."""
        return {
            "reverse": fingerprint(self.dynamics_specification("reverse")),
            "rollouts": (length, scale, noise),
            "config": asdict(config),
        }

    def _held_out(self) -> Iterator[np.ndarray]:
        """Return those of the `known` transitions that no model was trained on."""
        rows = held_out_rows(self.config.dynamics, len(self.known[0]))
        return (values[rows] for values in self.known)

    def _ensemble(
        self,
        kind: str,
        data: Callable[[], tuple[np.ndarray, np.ndarray]],
        sizes: tuple[int, int],
        report: Callable[[Ensemble], dict[str, float]] = lambda ensemble: {},
    ) -> Ensemble:
        specification = self.dynamics_specification(kind)
        return self._fit(kind, specification, self.config.dynamics, data, sizes, report)

    def _fit(
        self,
        kind: str,
        specification: Specification,
        config: EnsembleConfig,
        data: Callable[[], tuple[np.ndarray, np.ndarray]],
        sizes: tuple[int, int],
        report: Callable[[Ensemble], dict[str, float]],
    ) -> Ensemble:
        """Return an ensemble fitted to `data`, inputs and targets of these sizes; note history and report."""
        with self._data_errors(kind), self.stage(kind):
            fitted = self.store.fit(
                kind,
                specification,
                lambda: EnsembleFit(config, *data(), self.key(kind)),
                ensemble_template(config, *sizes),
                report,
            )
        self.histories[kind] = fitted.history
        self.report |= fitted.report
        return fitted.result

    @contextmanager
    def _data_errors(self, kind: str) -> Iterator[None]:
        """Turn a ValueError of dynamics/ into a DataError that names the model and the dataset."""
        try:
            yield
        except ValueError as error:
            raise DataError(f"The {kind} model of {self.dataset.name} cannot be fitted: {error}.") from error
