"""The anchor seeker: a policy that leads states back to the data (COCOA, arXiv 2404.04682, section 4.2)."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from numpy.typing import ArrayLike

from cocoa.algos.base import check_at_least
from cocoa.algos.networks import MLP, Adam, Model, scan
from cocoa.dynamics.epochs import EpochFit, EpochSettings
from cocoa.dynamics.moments import divisor, moments
from cocoa.dynamics.xla.compiler import compiled
from cocoa.errors import RunError


@dataclass(frozen=True)
class SeekerConfig(EpochSettings):
    """Training of the anchor seeker (COCOA, section 4.2)."""

    hidden: tuple[int, ...] = (100, 100)
    """Widths of the hidden layers, each with LayerNorm and ReLU."""
    learning_rate: float = 1e-3
    """Adam's step size."""
    learning_rate_decay: bool = True
    """Let the step size fall to zero along half a cosine over the whole training, all of whose passes are
    then made. COCOA's authors keep it constant."""
    batch_size: int = 256
    """Recorded (state, action) pairs per update."""
    max_epochs: int = 50
    """Upper bound of passes over all reverse rollouts."""
    max_updates: int | None = 100_000
    """The pass in which this number of updates is reached is the last. None: no bound."""
    patience: int = 5
    """Stop after this many epochs in a row without an improvement of `min_improvement`, if the step size is
    constant."""
    min_improvement: float = 0.005
    """Relative change of the loss that counts as an improvement."""

    def __post_init__(self) -> None:
        """Raise ValueError for a value that is out of range."""
        check_at_least(1, self, "batch_size", "max_epochs", "patience")
        check_at_least(0, self, "learning_rate", "min_improvement")
        if not all(width >= 1 for width in self.hidden):
            raise ValueError(f"hidden={list(self.hidden)} must have widths of at least 1")
        if self.max_updates is not None:
            check_at_least(1, self, "max_updates")


class SeekerNetwork(nn.Module):
    """Dense, ReLU and LayerNorm per hidden layer, then a tanh."""

    hidden: tuple[int, ...]
    action_dim: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map (..., O) to (..., A) in (-1, 1)."""
        return jnp.tanh(nn.Dense(self.action_dim)(MLP(self.hidden, layer_norm=True)(x)))


@struct.dataclass
class Seeker:
    """Map states (..., O), in the environment's units, to actions (..., A) in (-1, 1).

    `mean` and `std`, shape (O,), are those of the states it was trained on.
    """

    params: Any
    mean: jax.Array
    std: jax.Array
    network: Any = struct.field(pytree_node=False)

    def __call__(self, states: jax.Array) -> jax.Array:
        """Return the actions that lead back from `states`."""
        return self.network.apply({"params": self.params}, (states - self.mean) / self.std)


@struct.dataclass
class SeekerState:
    """Everything that changes while a seeker is trained."""

    model: Model
    epoch: jax.Array
    best_loss: jax.Array
    stale_epochs: jax.Array
    """Epochs since `best_loss` fell by `min_improvement`."""


def seeker_template(config: SeekerConfig, state_dim: int, action_dim: int) -> Seeker:
    """Return the structure of a trained seeker: `jax.ShapeDtypeStruct`s in place of its arrays."""
    network = SeekerNetwork(config.hidden, action_dim)
    moment = jax.ShapeDtypeStruct((state_dim,), jnp.float32)
    state = jax.ShapeDtypeStruct((1, state_dim), jnp.float32)
    params = jax.eval_shape(network.init, jax.random.key(0), state)["params"]
    return Seeker(params, moment, moment, network)  # type: ignore[arg-type]


class SeekerFit(EpochFit):
    """Training of a seeker on the reverse rollouts, in epochs; stops and goes on bit for bit between any two.

    Minimises L = E |π(s) - a|² / A over the recorded (s, a) of all reverse rollouts, shuffled again in every
    epoch, with Adam. It ends after `max_epochs`, after the epoch in which `max_updates` is reached, or, with
    a constant step size, once `patience` epochs in a row have not lowered the epoch's mean loss by the share
    `min_improvement` of the lowest so far.
    """

    def __init__(self, config: SeekerConfig, states: ArrayLike, actions: ArrayLike, key: jax.Array):
        """Take states (N, O) in the environment's units and actions (N, A) in [-1, 1].

        Raises RunError if a state is not finite.
        """
        self.config: SeekerConfig = config
        if not np.isfinite(states).all():
            raise RunError(
                "The reverse rollouts left the range of floating-point numbers, so the seeker cannot learn "
                "from them. Lower cocoa.rollout_length or cocoa.rollout_scale, or train the reverse model "
                "for longer (dynamics.max_epochs, dynamics.max_updates)."
            )
        mean, std = moments(np.asarray(states))
        self.states, self.actions, self.mean, self.std = jax.device_put((states, actions, mean, divisor(std)))
        self.key, shuffle_key = jax.random.split(key)
        self.shuffle_seed = np.asarray(jax.random.key_data(shuffle_key)).tolist()

    def init(self) -> SeekerState:
        """Return the state before the first epoch."""
        sizes = self.states.shape[1], self.actions.shape[1]
        return _initial(self.config, sizes, self.config.epochs(self.updates) * self.updates, self.key)

    def epoch(self, state: SeekerState) -> tuple[SeekerState, dict[str, float]]:
        """Return the state after one more pass over all rows, and its mean loss; `state` is used up."""
        batches = self.batches(int(state.epoch))
        data = (self.states, self.actions, self.mean, self.std)
        state, loss = compiled(_epoch, donate_argnums=0)(state, batches, data, self.config.min_improvement)
        return state, {"loss": float(loss)}

    def batches(self, epoch: int) -> np.ndarray:
        """Return (B, batch_size) row numbers: a permutation of all rows, filled up from its beginning.

        Drawn on the host, where a permutation of millions of rows takes milliseconds.
        """
        order = np.random.default_rng([*self.shuffle_seed, epoch]).permutation(len(self.states))
        return np.resize(order, (self.updates, self.config.batch_size)).astype(np.int32)

    @property
    def updates(self) -> int:
        """Updates of an epoch."""
        return -(-len(self.states) // self.config.batch_size)

    def result(self, state: SeekerState) -> Seeker:
        """Return the seeker as it is after `state`."""
        return Seeker(state.model.params, self.mean, self.std, state.model.module)


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _initial(config: SeekerConfig, sizes: tuple[int, int], updates: int, key: jax.Array) -> SeekerState:
    """Return the state before the first of `updates` updates, for states and actions of these sizes."""
    state_dim, action_dim = sizes
    network = SeekerNetwork(tuple(config.hidden), action_dim)
    optimizer = Adam(config.learning_rate, updates if config.learning_rate_decay else None)
    model = Model.create(network, optimizer, key, jnp.zeros((1, state_dim)))
    return SeekerState(model, jnp.int32(0), jnp.float32(jnp.inf), jnp.int32(0))


def _epoch(
    state: SeekerState, batches: jax.Array, data: tuple[jax.Array, ...], min_improvement: float
) -> tuple[SeekerState, jax.Array]:
    states, actions, mean, std = data

    def loss(params: Any, x: jax.Array, y: jax.Array) -> tuple[jax.Array, dict[str, jax.Array]]:
        value = jnp.mean((Seeker(params, mean, std, state.model.module)(x) - y) ** 2)
        return value, {"loss": value}

    def update(model: Model, batch: tuple[jax.Array, jax.Array]) -> tuple[Model, jax.Array]:
        model, metrics = model.minimize(loss, *batch)
        return model, metrics["loss"]

    # All rows are put in order at once: within the updates this would take a tenth of their time.
    model, losses = scan(update, state.model, (states[batches], actions[batches]))
    epoch_loss = losses.mean()
    improved = epoch_loss < (1 - min_improvement) * state.best_loss
    stale_epochs = jnp.where(improved, 0, state.stale_epochs + 1)
    best_loss = jnp.where(improved, epoch_loss, state.best_loss)
    return SeekerState(model, state.epoch + 1, best_loss, stale_epochs), epoch_loss
