"""Anchors of a run: the map that its variant builds, and the table of the dataset's anchors."""

from __future__ import annotations

import inspect
import sys
import uuid
from dataclasses import asdict, dataclass

import jax
import jax.numpy as jnp
import numpy as np

from cocoa.anchors import AnchorMap, AnchorVariant, SeekerConfig, learned
from cocoa.anchors.learned import NetworkMap, distillation_data, distillation_report
from cocoa.anchors.seeker import Seeker
from cocoa.anchors.table import AnchorTable, anchor_table
from cocoa.config.extensions import ANCHOR_VARIANTS
from cocoa.dynamics.ensemble import Ensemble
from cocoa.dynamics.forward import ForwardModel
from cocoa.errors import ConfigError
from cocoa.preparation.cache import fingerprint
from cocoa.preparation.models import ModelSet, Specification
from cocoa.preparation.templates import ModelShapes, anchor_template, fits


@dataclass(frozen=True)
class Anchors:
    """The anchors of one set of models."""

    map: AnchorMap
    table: AnchorTable
    """Of all states, each distinct state's computed once."""


def build_anchors(models: ModelSet, variant: AnchorVariant) -> Anchors:
    """Return the anchors of `variant`.

    Raises ConfigError if a saved map could not be loaded again since its structure is not that of the
    variant's template.
    """
    shapes = ModelShapes(models.config.dynamics, models.state_dim, models.action_dim)
    template = anchor_template(variant, shapes)  # first: it may be missing, and models take long to fit
    tracked = TrackedModels(models, variant)
    anchors = jax.tree.map(jnp.asarray, variant.build(tracked))
    if not fits(anchors, template):
        raise ConfigError(
            f"{type(variant).__name__}.template does not return the structure, types and shapes of the map "
            "that build returns, so a policy could not be loaded. Let it return the same class with the same "
            "settings, and jax.ShapeDtypeStructs in place of arrays."
        )
    states = models.dataset.observations
    with models.stage("anchors"):
        table = models.store.compute(
            "anchors",
            tracked.specification,
            lambda: anchor_table(anchors, states, models.dataset.next_observations),
            AnchorTable(*[np.broadcast_to(np.float32(0), states.shape)] * 2),
        )
    return Anchors(anchors, table)


class TrackedModels:
    """The `Models` that a variant builds its map from; notes in `specification` which of them it uses."""

    def __init__(self, models: ModelSet, variant: AnchorVariant):
        """Begin with what every map depends on."""
        self._models = models
        self._variant = variant
        self.specification: Specification = {
            **models.states_specification,
            "variant": ANCHOR_VARIANTS.reference(type(variant)),
            "code": _code_version(type(variant)),
            "settings": variant.map_settings(),
        }
        """Everything that the map depends on."""

    @property
    def states(self) -> np.ndarray:
        """The dataset's states (N, O)."""
        return self._models.dataset.observations

    @property
    def episodes(self) -> np.ndarray:
        """The number of each state's episode (N,)."""
        return self._models.dataset.episodes

    @property
    def std(self) -> np.ndarray:
        """The states' standard deviations (O,)."""
        return self._models.state_std

    @property
    def key(self) -> jax.Array:
        """A PRNG key of the seed."""
        self.specification["seed"] = self._models.seed
        return self._models.key("anchors")

    @property
    def salt(self) -> jax.Array:
        """A uint32 of the seed."""
        return jax.random.bits(self.key)

    @property
    def forward(self) -> ForwardModel:
        """The forward dynamics. Raises ConfigError for a variant that does not use dynamics."""
        self._check_dynamics()
        self.specification["forward"] = fingerprint(self._models.dynamics_specification("forward"))
        return self._models.forward

    def seeker(self, config: SeekerConfig, length: int, scale: float, noise: float) -> Seeker:
        """Return a trained seeker. Raises ConfigError for a variant that does not use dynamics."""
        self._check_dynamics()
        settings = config, length, scale, noise
        self.specification["seeker"] = fingerprint(self._models.seeker_specification(*settings))
        return self._models.seeker(*settings)

    @property
    def denoiser(self) -> Ensemble:
        """The network that takes noise away."""
        self.specification["denoiser"] = fingerprint(self._models.denoiser_specification)
        return self._models.denoiser

    def distilled(self, exact: AnchorMap) -> NetworkMap:
        """Return a network fitted to the anchors of `exact`, and report its error."""
        models, seed = self._models, self._models.seed
        exact = jax.tree.map(jnp.asarray, exact)
        self.specification |= {"seed": seed, "network": asdict(learned.NETWORK)}
        network = models.network(
            "amortised",
            dict(self.specification),
            lambda: distillation_data(exact, self.states, self.std, seed),
            lambda network: distillation_report(exact, NetworkMap(network), self.states, self.std, seed + 1),
        )
        return NetworkMap(network)

    def _check_dynamics(self) -> None:
        if not self._variant.uses_dynamics:
            name = type(self._variant).__name__
            raise ConfigError(
                f"{name}.build uses the dynamics, but the class does not say so: add "
                f"`uses_dynamics: ClassVar[bool] = True` to {name}, so that settings of the dynamics count."
            )


def _code_version(cls: type) -> str:
    """Return a hash of a user's code; for the project's nothing, as its changes raise `cache.FORMAT`."""
    if cls.__module__.startswith("cocoa."):
        return ""
    for source in (sys.modules[cls.__module__], cls):
        try:
            return fingerprint({"source": inspect.getsource(source)})
        except (OSError, TypeError):  # as in an interactive session
            continue
    return uuid.uuid4().hex  # unknown: nothing is found again
