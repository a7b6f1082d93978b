"""What an algorithm is: a frozen dataclass of hyperparameters with pure functions over a pytree state.

An *observation* is an opaque pytree of arrays that share their leading axes; algorithms index, repeat and
concatenate it through `jax.tree.map` and hand it to networks, and never look inside.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import jax
from flax import struct

Array = jax.Array
Observation = Any
"""A pytree of arrays with equal leading axes: a state array, or whatever the encoder understands."""
Metrics = dict[str, Array]
"""Scalars to log, by name."""
State = Any
"""Everything an algorithm learns or counts: a pytree of arrays."""


@struct.dataclass
class Batch:
    """Transitions, with any number of leading axes `...`.

    observation, next_observation: pytrees with leaves (..., d). action: (..., action_dim), in [-1, 1].
    reward: (...). terminal: (...), 1.0 where the next state is terminal and bootstraps to zero, else 0.0;
    a time limit is never terminal.
    """

    observation: Observation
    action: Array
    reward: Array
    terminal: Array
    next_observation: Observation


@dataclass(frozen=True)
class Algorithm:
    """Base of all algorithms: hyperparameters as fields, behaviour as pure functions.

    Subclasses are frozen dataclasses whose fields all have defaults of the types bool, int, float, str, or
    tuples of these; the command line makes each of them a configuration field.
    """

    name: ClassVar[str]

    discount: float = 0.99
    """Discount per step, γ."""
    hidden: tuple[int, ...] = (256, 256)
    """Widths of the hidden layers of actor and critics, behind the encoder."""

    def init(self, key: Array, networks: Any, batch: Batch, updates: int) -> State:
        """Return the state before the first update.

        `networks` is an `algos.networks.Networks`; `batch` is an example from which only shapes are taken;
        `updates` is the length of the training, for schedules.
        """
        raise NotImplementedError

    def update(self, state: State, batch: Batch, key: Array) -> tuple[State, Metrics]:
        """Return the state after one update on `batch` (leading axis: batch) and scalars to log."""
        raise NotImplementedError

    def act(self, state: State, observation: Observation, key: Array | None = None) -> Array:
        """Return actions (..., action_dim) in [-1, 1]; without `key` the deterministic policy's."""
        raise NotImplementedError


REGISTRY: dict[str, type[Algorithm]] = {}
"""Algorithms by the name under which `algo=` finds them."""

A = TypeVar("A", bound=type[Algorithm])


def register(name: str) -> Callable[[A], A]:
    """Make an algorithm available as `algo=<name>`; a class decorator.

    Raises ValueError if the name is taken.
    """

    def add(cls: A) -> A:
        if name in REGISTRY:
            raise ValueError(f"algorithm name {name!r} is already taken by {REGISTRY[name].__qualname__}")
        cls.name = name
        REGISTRY[name] = cls
        return cls

    return add
