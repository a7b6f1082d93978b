"""What an anchor variant is: a frozen dataclass of settings that builds a map from states to anchors.

The map is a pytree of arrays. An anchor depends on the state and these arrays alone: the same state has the
same anchor in the dataset, in evaluation and in any batch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, Protocol, TypeVar

import jax

from cocoa.anchors.seeker import Seeker, SeekerConfig
from cocoa.dynamics.ensemble import Ensemble
from cocoa.dynamics.forward import ForwardModel
from cocoa.dynamics.registry import registration
from cocoa.dynamics.settings import Settings


class AnchorMap(Protocol):
    """A pytree that maps states (..., O) to anchors (..., O), both in the environment's units."""

    def __call__(self, states: jax.Array) -> jax.Array:
        """Return the anchors of `states`."""
        ...


class Models(Protocol):
    """What a variant builds its map from: the data's states and the models of them, for one seed.

    Each model is fitted, or read from the cache, when a variant first asks for it.
    """

    @property
    def states(self) -> Any:
        """The dataset's states in time order, a NumPy array (N, O), environment units."""
        ...

    @property
    def episodes(self) -> Any:
        """The number of each state's episode, a NumPy array (N,)."""
        ...

    @property
    def std(self) -> Any:
        """Standard deviations of the states, a NumPy array (O,); 1 where they do not vary."""
        ...

    @property
    def key(self) -> jax.Array:
        """A typed PRNG key."""
        ...

    @property
    def salt(self) -> jax.Array:
        """A uint32 that differs between seeds."""
        ...

    @property
    def forward(self) -> ForwardModel:
        """The forward dynamics; for variants with `uses_dynamics`."""
        ...

    def seeker(self, config: SeekerConfig, length: int, scale: float, noise: float) -> Seeker:
        """Return a seeker trained on reverse rollouts of this length; for variants with `uses_dynamics`."""
        ...

    @property
    def denoiser(self) -> Ensemble:
        """A network trained by `denoising_data` to lead noisy states back to the data."""
        ...

    def distilled(self, exact: AnchorMap) -> AnchorMap:
        """Return one network trained to reproduce the map `exact`."""
        ...


@dataclass(frozen=True)
class AnchorVariant(Settings, ABC):
    """Base of all anchor variants: settings as fields; `build` makes the map from states to anchors.

    Subclasses are frozen dataclasses whose fields all have defaults of the types bool, int, float, str,
    tuples of these, or dataclasses of them; the command line makes each of them a configuration field.
    """

    name: ClassVar[str]
    """What runs with it are called: the name it is registered by, else that of the class."""
    uses_dynamics: ClassVar[bool] = False
    """Whether `build` uses the forward model or a seeker, so that the settings `dynamics.*` matter."""
    per_seed = False  # not annotated, so that it is no field here
    """Whether each seed of a run has models and anchors of its own; a variant may make it a field."""

    encoder_hidden: tuple[int, ...] = (64, 64)
    """Hidden widths of f(difference) and g(anchor); the last is also the width of the feature."""
    embedding: int = 4
    """Inner dimension e of the bilinear form, feature_i = sum_e f_ie g_ie."""
    hidden: tuple[int, ...] = (100, 100)
    """Widths of the backbone behind the encoder; replaces `algo.hidden`."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Give the class a name of its own, so that it never passes for its parent."""
        super().__init_subclass__(**kwargs)
        if "name" not in vars(cls):
            cls.name = cls.__name__

    @abstractmethod
    def build(self, models: Models) -> AnchorMap:
        """Return the map from states to anchors; its leaves may be NumPy's arrays."""

    def template(self, shapes: Models) -> AnchorMap:
        """Return the map that `build` returns, with `jax.ShapeDtypeStruct`s for arrays.

        `shapes` offers such structs as well, with 0 for a number of rows that depends on the data. This
        default is for a `build` that only stores what `models` offers: override it for another.
        """
        return self.build(shapes)

    def map_settings(self) -> dict[str, Any]:
        """Return the fields on which the map depends: all but `per_seed` and those of the networks."""
        others = {"per_seed", *(field.name for field in fields(AnchorVariant))}
        return {name: value for name, value in asdict(self).items() if name not in others}


ANCHORS: dict[str, type[AnchorVariant]] = {}
"""Anchor variants by the name under which `+cocoa=` finds them."""

V = TypeVar("V", bound=type[AnchorVariant])
_RESERVED = ("none", "default")


def register_anchors(name: str) -> Callable[[V], V]:
    """Make an anchor variant available as `+cocoa=<name>`; a class decorator.

    A class that is defined again, as in a notebook, replaces the former one. Raises ValueError if the name
    belongs to another class, is `none` or `default`, or is not made of letters, digits, `_` and `-`.
    """
    if name in _RESERVED:
        raise ValueError(f"anchor variant name {name!r} has another meaning: +cocoa={name}")
    return registration(ANCHORS, "anchor variant", name)
