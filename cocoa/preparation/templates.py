"""The structure of anchor maps from sizes alone, by which saved ones are loaded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from cocoa.anchors import AnchorMap, AnchorVariant, SeekerConfig, learned
from cocoa.anchors.learned import NetworkMap
from cocoa.anchors.seeker import Seeker, seeker_template
from cocoa.dynamics.config import EnsembleConfig
from cocoa.dynamics.ensemble import Ensemble, ensemble_template
from cocoa.dynamics.forward import ForwardModel
from cocoa.errors import ConfigError
from cocoa.storage.serialization import fits_shape


@dataclass(frozen=True)
class ModelShapes:
    """`Models` of which only shapes and types are known; 0 stands for a number of rows of the data."""

    dynamics: EnsembleConfig
    state_dim: int
    action_dim: int

    @property
    def states(self) -> Any:
        """(0, O)"""
        return jax.ShapeDtypeStruct((0, self.state_dim), jnp.float32)

    @property
    def episodes(self) -> Any:
        """(0,)"""
        return jax.ShapeDtypeStruct((0,), jnp.int32)

    @property
    def std(self) -> Any:
        """(O,)"""
        return jax.ShapeDtypeStruct((self.state_dim,), jnp.float32)

    @property
    def key(self) -> Any:
        """()"""
        return jax.eval_shape(lambda: jax.random.key(0))

    @property
    def salt(self) -> Any:
        """()"""
        return jax.ShapeDtypeStruct((), jnp.uint32)

    @property
    def forward(self) -> ForwardModel:
        """The forward dynamics."""
        sizes = self.state_dim + self.action_dim, self.state_dim + 1
        return ForwardModel(ensemble_template(self.dynamics, *sizes))

    def seeker(self, config: SeekerConfig, length: int, scale: float, noise: float) -> Seeker:
        """Return a seeker."""
        return seeker_template(config, self.state_dim, self.action_dim)

    @property
    def denoiser(self) -> Ensemble:
        """A network from states to states."""
        return ensemble_template(learned.NETWORK, self.state_dim, self.state_dim)

    def distilled(self, exact: AnchorMap) -> NetworkMap:
        """Return a network from states to states as a map."""
        return NetworkMap(self.denoiser)


def anchor_template(variant: AnchorVariant, shapes: ModelShapes) -> AnchorMap:
    """Return `variant.template(shapes)`. Raises ConfigError if that fails."""
    try:
        return variant.template(shapes)
    except (TypeError, AttributeError, ValueError, IndexError) as error:
        name = type(variant).__name__
        raise ConfigError(
            f"The structure of {name}'s map cannot be derived from shapes alone ({type(error).__name__}: "
            f"{error}), so a policy could not be loaded. Give {name} a method template(self, shapes) that "
            "returns the map with jax.ShapeDtypeStructs in place of the arrays that build computes."
        ) from error


def fits(tree: Any, template: Any) -> bool:
    """Tell whether a tree of arrays has the structure, types and shapes of a template; see `load_tree`."""
    leaves, structure = jax.tree.flatten(tree)
    expected, expected_structure = jax.tree.flatten(template)
    return structure == expected_structure and all(
        leaf.dtype == wanted.dtype and fits_shape(leaf.shape, wanted.shape)
        for leaf, wanted in zip(leaves, expected, strict=True)
    )
