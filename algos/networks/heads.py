"""Networks that all algorithms share: heads over a backbone over an encoder.

An *encoder* turns an observation, and for critics an action, into one feature vector. The plain one
concatenates arrays; another may be substituted without a change to any algorithm. All weights start
orthogonal, as in IQL's and LEQ's code; other papers' codes draw them otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import flax.linen as nn
import jax
import jax.numpy as jnp

from cocoa.algos.base import ACTIVATIONS, Array, Observation
from cocoa.algos.networks import batching
from cocoa.algos.networks.distributions import Gaussian, SquashedGaussian
from cocoa.algos.networks.initializers import orthogonal
from cocoa.algos.networks.normalization import LayerNorm

LOG_STD_BOUNDS = (-5.0, 2.0)
WRITTEN_OUT = 4
"""More critics than these are batched."""
_BATCHED = "Values"

Critic = Callable[[Observation, Array], Array]
"""An action value Q_i: from observations and actions (..., A) to (...)."""


class Encoder(Protocol):
    """Make a module that maps (observation[, action]) to features (..., width)."""

    def __call__(self) -> nn.Module:
        """Return a fresh module."""
        ...


class Concatenate(nn.Module):
    """The plain encoder: the observation array with the action, if any, appended."""

    def __call__(self, observation: Array, action: Array | None = None) -> Array:
        """Return (..., O) or (..., O + A)."""
        return observation if action is None else jnp.concatenate([observation, action], axis=-1)


class MLP(nn.Module):
    """Dense layers with an activation, then optionally LayerNorm and dropout, after each; orthogonal weights.

    Units are dropped only where the network is applied with a key for it: see `Model`.
    """

    hidden: tuple[int, ...]
    layer_norm: bool = False
    bias_init: Any = nn.initializers.zeros
    dropout: float = 0.0
    activation: str = "relu"

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Map (..., d) to (..., hidden[-1])."""
        for width in self.hidden:
            x = nn.Dense(width, kernel_init=orthogonal, bias_init=self.bias_init)(x)
            x = ACTIVATIONS[self.activation](x)
            if self.layer_norm:
                x = LayerNorm()(x)
            if self.dropout:
                x = nn.Dropout(self.dropout, deterministic=not self.has_rng("dropout"))(x)
        return x


class Value(nn.Module):
    """State value V(s), or action value Q(s, a) if called with an action: shape (...)."""

    encoder: Encoder
    hidden: tuple[int, ...]
    layer_norm: bool = False
    activation: str = "relu"

    @nn.compact
    def __call__(self, observation: Observation, action: Array | None = None) -> Array:
        """Return values of shape (...)."""
        mlp = MLP(self.hidden, self.layer_norm, activation=self.activation)
        features = mlp(self.encoder()(observation, action))
        return nn.Dense(1, kernel_init=orthogonal)(features)[..., 0]


class Critics(nn.Module):
    """Independent action values Q_i(s, a).

    More than `WRITTEN_OUT` critics are batched: each parameter has a leading axis of critics, and updates
    compile as fast as with two. Fewer have parameters of their own, and are evaluated one after the other
    where that is faster: see `batching.together`.

    A call evaluates all critics. `single` and `each` give access to one critic as a function Q_i of
    observations and actions, so that a loss may differentiate it without a pass over the others:

        critics = state.critics.module
        q = critics.single(params, 0)(observation, action)                      # (...)

        def slope(critic):  # of Q_i with respect to the action
            return jax.grad(lambda action: critic(observation, action).sum())(action)

        slopes = critics.each(params, slope)                                    # (count, ..., A)
    """

    encoder: Encoder
    hidden: tuple[int, ...]
    count: int = 2
    layer_norm: bool = False
    activation: str = "relu"

    @nn.compact
    def __call__(self, observation: Observation, action: Array) -> Array:
        """Return the values of all critics, (count, ...)."""
        written = self.count <= WRITTEN_OUT
        if written and (self.is_initializing() or not batching.together()):
            critics = [Value(*self._settings) for _ in range(self.count)]
            return jnp.stack([critic(observation, action) for critic in critics])

        def initial(key: Array) -> Any:
            return _initial_values(self._value, jax.random.split(key, self.count), observation, action)

        params = self.variables["params"] if written else {_BATCHED: self.param(_BATCHED, initial)}
        return self.each(params, lambda critic: critic(observation, action))

    def single(self, params: Any, index: int | Array) -> Critic:
        """Return the critic `index` as a function, given the parameters of all; no other is evaluated.

        `index` may be traced: `jax.vmap` over it evaluates a subset of the critics.
        """
        if _BATCHED not in params and isinstance(index, int):
            return self._critic(params[f"Value_{index}"])
        return self._critic(jax.tree.map(lambda x: x[index], self._stacked(params)))

    def each(self, params: Any, function: Callable[[Critic], Any]) -> Any:
        """Return `function(critic)` of all critics, stacked to (count, ...), given the parameters of all."""
        if _BATCHED in params or batching.together():
            return jax.vmap(lambda params: function(self._critic(params)))(self._stacked(params))
        return batching.stacked([function(self.single(params, index)) for index in range(self.count)])

    def _stacked(self, params: Any) -> Any:
        """Return the parameters of one critic, each with a leading axis of critics."""
        if _BATCHED in params:
            return params[_BATCHED]
        return batching.joined([params[f"Value_{index}"] for index in range(self.count)])

    @property
    def _settings(self) -> tuple[Encoder, tuple[int, ...], bool, str]:
        return self.encoder, self.hidden, self.layer_norm, self.activation

    @property
    def _value(self) -> Value:
        return Value(*self._settings, parent=None)

    def _critic(self, params: Any) -> Critic:
        return partial(self._value.apply, {"params": params})  # type: ignore[return-value]


@partial(jax.jit, static_argnums=0)
def _initial_values(value: Value, keys: Array, observation: Observation, action: Array) -> Any:
    """Return parameters stacked along the axis of `keys` (count,), by a program that is compiled once."""
    return jax.vmap(lambda key: value.init(key, observation, action)["params"])(keys)


class GaussianPolicy(nn.Module):
    """Normal distribution N(tanh(m(s)), σ²) with a standard deviation σ that does not depend on s."""

    encoder: Encoder
    hidden: tuple[int, ...]
    action_dim: int
    dropout: float = 0.0
    activation: str = "relu"

    @nn.compact
    def __call__(self, observation: Observation) -> Gaussian:
        """Return the distribution, its mean (..., A) in (-1, 1) and its log standard deviation (A,)."""
        mlp = MLP(self.hidden, dropout=self.dropout, activation=self.activation)
        features = mlp(self.encoder()(observation))
        mean = jnp.tanh(nn.Dense(self.action_dim, kernel_init=orthogonal)(features))
        log_std = self.param("log_std", nn.initializers.zeros, (self.action_dim,))
        return Gaussian(mean, jnp.clip(log_std, *LOG_STD_BOUNDS))


class DeterministicPolicy(nn.Module):
    """Action tanh(m(s))."""

    encoder: Encoder
    hidden: tuple[int, ...]
    action_dim: int
    layer_norm: bool = False
    activation: str = "relu"

    @nn.compact
    def __call__(self, observation: Observation) -> Array:
        """Return actions (..., A) in (-1, 1)."""
        mlp = MLP(self.hidden, self.layer_norm, activation=self.activation)
        features = mlp(self.encoder()(observation))
        return jnp.tanh(nn.Dense(self.action_dim, kernel_init=orthogonal)(features))


class SquashedGaussianPolicy(nn.Module):
    """tanh of a normal distribution N(m(s), σ(s)²) (SAC)."""

    encoder: Encoder
    hidden: tuple[int, ...]
    action_dim: int
    activation: str = "relu"

    @nn.compact
    def __call__(self, observation: Observation) -> SquashedGaussian:
        """Return the distribution, whose parameters are (..., A)."""
        features = MLP(self.hidden, activation=self.activation)(self.encoder()(observation))
        both = nn.Dense(2 * self.action_dim, kernel_init=orthogonal)(features)
        mean, log_std = jnp.split(both, 2, axis=-1)
        return SquashedGaussian(Gaussian(mean, jnp.clip(log_std, *LOG_STD_BOUNDS)))


class Scalar(nn.Module):
    """A single learned number."""

    start: float

    @nn.compact
    def __call__(self) -> Array:
        """Return it, shape ()."""
        return self.param("value", nn.initializers.constant(self.start), ())
