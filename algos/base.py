"""What an algorithm is: a frozen dataclass of hyperparameters with pure functions over a pytree state.

An *observation* is an opaque pytree of arrays that share their leading axes; algorithms index, repeat and
concatenate it through `jax.tree.map` and hand it to networks, and never look inside.

The file of an algorithm has its parts in this order: the state, the class with its fields, `__post_init__`,
`source`, `objection`, `init`; `next_action`, `next_value`, `target` and `critic_loss`; `value_loss`,
`actor_loss` and further losses; `update`, `held_out`, `act`, `action_value`. A loss is differentiated with
respect to its first argument. `critic_loss` stops the gradient of `target`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar

import jax
import jax.numpy as jnp
from flax import struct

from cocoa.dynamics.registry import registration
from cocoa.dynamics.settings import Settings

Array = jax.Array
Observation = Any
"""A pytree of arrays with equal leading axes: a state array, or whatever the encoder understands."""
Metrics = dict[str, Array]
"""Scalars to log, by name."""
State = Any
"""Everything an algorithm learns or counts: a pytree of arrays."""
Act = Callable[[Observation, Array | None], Array]
"""A policy: from observations and a key to actions in [-1, 1]; as `Algorithm.act` of one state."""

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {"relu": jax.nn.relu, "gelu": jax.nn.gelu}
"""Activation functions by name; GELU (Hendrycks, Gimpel 2016; arXiv 1606.08415) as approximated with tanh."""


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


@struct.dataclass
class NextActionBatch(Batch):
    """Transitions with what the behaviour did next."""

    next_action: Array
    """(..., action_dim); zeros where it is not known."""
    next_action_known: Array
    """(...), 1.0 or 0.0."""


@struct.dataclass
class ReturnBatch(Batch):
    """Transitions with what the behaviour went on to collect."""

    return_to_go: Array
    """(...), the discounted sum of the rewards from this one on; -inf where it is not known."""


@struct.dataclass
class World:
    """The environment as far as it was learned, for algorithms that imagine."""

    model: Any
    """A `cocoa.dynamics.forward.ForwardModel`."""
    observe: Any
    """Maps states (..., O), in the environment's units, to observations; its `state` is the inverse."""
    terminated: Any
    """Maps states, actions and next states to bool (...)."""
    reward_scale: Array
    reward_shift: Array

    def state(self, observation: Observation) -> Array:
        """Return the states (..., O) that observations are of."""
        return self.observe.state(observation)

    def reward(self, reward: Array) -> Array:
        """Return the model's rewards on the scale of the data that algorithms see."""
        return self.reward_scale * reward + self.reward_shift

    def step(self, state: Array, action: Array, key: Array) -> tuple[Array, Array, Array]:
        """Draw next states (B, O), rewards (B,) on the data's scale, and terminals (B,), 1.0 or 0.0.

        Differentiable with respect to states (B, O) and actions (B, A), given the draw.
        """
        next_state, reward = self.model.sample(state, action, key)
        terminal = self.terminated(state, action, next_state).astype(reward.dtype)
        return next_state, self.reward(reward), terminal


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where batches come from: here uniformly from the data. A `RefreshedSource` has a buffer, too.

    A source does not hold the data: it returns the indices of the transitions that it needs, and the training
    loop takes them.
    """

    every: ClassVar[int | None] = None
    """Updates between two renewals of the buffer; None: there is no buffer."""
    rounds: ClassVar[int] = 0
    """Number of renewals that the buffer depends on."""

    def init(self, data: Batch) -> Any:
        """Return the buffer before the first update, given an example of the data, leaves (N, ...)."""
        return ()

    def rows(self, key: Array, size: int, count: int) -> Array:
        """Return indices below `count` of the transitions that a batch of `size` needs."""
        return jax.random.randint(key, (size,), 0, count)

    def draw(self, buffer: Any, taken: Batch, world: World | None, key: Array, size: int) -> Batch:
        """Return a batch of `size` transitions; `taken` are the transitions at `rows`.

        Where `taken` are `size` transitions already, held-out ones, the batch consists of these.
        """
        return taken

    def metrics(self, buffer: Any, number: Array) -> Metrics:
        """Return scalars to log of the buffer's renewal `number`."""
        return {}


@dataclass(frozen=True, kw_only=True)
class RefreshedSource(Source, ABC):
    """A source with a buffer that the policy of the moment renews before the updates 0, every, 2 every...

    `field()` without a default makes both numbers required: a default would be taken from the base.
    """

    every: int = field()
    """Updates between two renewals of the buffer."""
    rounds: int = field()
    """Number of renewals that the buffer depends on: a resumed run makes these again."""

    @abstractmethod
    def starts(self, key: Array, count: int) -> Array:
        """Return indices below `count` of the transitions that a renewal needs, of any shape."""

    @abstractmethod
    def refresh(self, buffer: Any, number: Array, act: Act, starts: Batch, world: World, key: Array) -> Any:
        """Return the buffer after the renewal `number` with the policy `act`.

        `starts` are the transitions at the indices that the method of that name returned.
        """


def check_at_least(least: float, settings: Any, *names: str) -> None:
    """Raise ValueError for the first of the named fields whose value is below `least`."""
    for name in names:
        if not getattr(settings, name) >= least:
            raise ValueError(f"{name}={getattr(settings, name)} must be at least {least}")


def check_positive(settings: Any, *names: str, most: float = math.inf) -> None:
    """Raise ValueError for the first of the named fields whose value is not above 0, or is above `most`."""
    for name in names:
        if not 0 < getattr(settings, name) <= most:
            bound = "" if most == math.inf else f" and at most {most}"
            raise ValueError(f"{name}={getattr(settings, name)} must be above 0{bound}")


def concatenate(*batches: Any) -> Any:
    """Return pytrees of equal structure as one, joined along their leading axes."""
    return jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *batches)


@dataclass(frozen=True)
class Algorithm(Settings, ABC):
    """Base of all algorithms: hyperparameters as fields, behaviour as pure functions.

    Subclasses are frozen dataclasses whose fields all have defaults of the types bool, int, float, str, or
    tuples of these; the command line makes each of them a configuration field. A subclass that lacks one of
    the three methods below cannot be instantiated: TypeError.
    """

    name: ClassVar[str]
    """What runs with it are called: the name it is registered by, else that of the class."""
    members: ClassVar[int] = 0
    """How many members the model of the source's `World` must have at least; 0: the source needs no world."""
    uses_rewards: ClassVar[bool] = True
    """Whether the result depends on the rewards and the discount."""
    termination: ClassVar[str] = "auto"
    """When imagined episodes end, where there is a world: see `ModelBased`, which makes it a field."""
    next_actions: ClassVar[bool] = False
    """Whether batches are `NextActionBatch`es."""
    deterministic: ClassVar[bool] = False
    """Whether `act` does not use its key: there is no stochastic policy beside the one that is evaluated."""
    sampled: ClassVar[bool] = False
    """Whether the policy that is evaluated draws its actions: `act` then needs a key."""
    toy_fields: ClassVar[Mapping[str, Any]] = {}
    """Values of fields with which few updates on toy data are enough, for tests; a subclass adds to its
    parents'."""

    discount: float = 0.99
    """Discount per step, γ."""
    hidden: tuple[int, ...] = (256, 256)
    """Widths of the hidden layers of actor and critics, behind the encoder."""
    activation: str = "relu"
    """Activation of these layers: relu or gelu."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Give the class a name of its own, so that it never passes for its parent."""
        super().__init_subclass__(**kwargs)
        if "name" not in vars(cls):
            cls.name = cls.__name__

    def __post_init__(self) -> None:
        """Raise ValueError for a value that is out of range."""
        if self.activation not in ACTIVATIONS:
            raise ValueError(f"activation={self.activation} must be one of {', '.join(ACTIVATIONS)}")

    @property
    def returns(self) -> bool:
        """Whether batches are `ReturnBatch`es."""
        return False

    @property
    def source(self) -> Source:
        """Where the batches come from."""
        return Source()

    def objection(self, batch: Batch) -> str:
        """Return a warning about training on these transitions (N, ...), or an empty string."""
        return ""

    @abstractmethod
    def init(self, key: Array, networks: Any, batch: Batch, updates: int) -> State:
        """Return the state before the first update.

        `networks` is a `cocoa.algos.networks.Networks`; `batch` is an example from which only shapes are
        taken; `updates` is the length of the training, for schedules.
        """

    @abstractmethod
    def update(self, state: State, batch: Batch, key: Array) -> tuple[State, Metrics]:
        """Return the state after one update on `batch` (leading axis: batch) and scalars to log."""

    def held_out(self, state: State, batch: Batch, key: Array) -> Metrics:
        """Return what to log of a batch (leading axis: batch) that is held out from training.

        The `Model`s in `state` are frozen, so `update` moves none of them: each loss is that of the current
        parameters, though in training later losses see what earlier ones have learned of the batch. An
        algorithm that keeps its parameters otherwise, or does not report each batch's metrics in each
        update, overrides this method.
        """
        return self.update(state, batch, key)[1]

    @abstractmethod
    def act(self, state: State, observation: Observation, key: Array | None = None) -> Array:
        """Return actions (..., action_dim) in [-1, 1]: with `key` a draw, without the deterministic policy's.

        With `sampled` there is no deterministic policy: `act` always gets a key, and evaluations play draws.
        """

    def action_value(self, state: State, observation: Observation, action: Array) -> Array | None:
        """Return what the critics in `state` say of actions (..., action_dim), (...); None without critics.

        Trained policies are compared by it; neither training nor acting uses it.
        """
        return None


REGISTRY: dict[str, type[Algorithm]] = {}
"""Algorithms by the name under which `algo=` finds them."""

A = TypeVar("A", bound=type[Algorithm])


def register(name: str) -> Callable[[A], A]:
    """Make an algorithm available as `algo=<name>`; a class decorator.

    A class that is defined again, as in a notebook, replaces the former one. Raises ValueError if the name
    belongs to another class, or is not made of letters, digits, `_` and `-`.
    """
    return registration(REGISTRY, "algorithm", name)
