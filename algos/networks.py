"""Networks that all algorithms share: heads over a backbone over an encoder.

An *encoder* turns an observation, and for critics an action, into one feature vector. The plain one
concatenates arrays; another may be substituted without a change to any algorithm. All weights start
orthogonal, as in IQL's code; the other papers' codes have the defaults of their libraries.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct
from jax.core import Tracer

from algos import blas
from algos.base import Array, Metrics, Observation
from algos.normalization import LayerNorm

LOG_STD_BOUNDS = (-5.0, 2.0)


def drawn_on_host(draw: Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]) -> Any:
    """Return an initializer that NumPy computes, from random numbers that depend on the key.

    XLA would compile random numbers, and what is made of them, again for each shape: seconds of every start.
    """

    def initializer(key: Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> Array:
        def compute(words: Array) -> np.ndarray:
            return draw(np.random.default_rng(np.asarray(words)), shape).astype(dtype)

        words = jax.random.key_data(key)
        if not isinstance(words, Tracer):
            return jnp.asarray(compute(words))
        result = jax.ShapeDtypeStruct(shape, dtype)
        return jax.pure_callback(compute, result, words, vmap_method="sequential")

    return initializer


@drawn_on_host
def orthogonal(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Draw a uniformly distributed orthogonal matrix, or rows or columns of one, times √2 (Saxe et al. 2014).

    The signs of R's diagonal make Q of a Gaussian matrix uniform (Mezzadri 2007).
    """
    with blas.one_thread():
        q, r = np.linalg.qr(rng.standard_normal((max(shape), min(shape))))
    q *= 2**0.5 * np.sign(np.diag(r))
    return q if shape[0] >= shape[1] else q.T


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
    """Dense layers with ReLU, then optionally LayerNorm, after each; orthogonal weights."""

    hidden: tuple[int, ...]
    layer_norm: bool = False
    bias_init: Any = nn.initializers.zeros

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Map (..., d) to (..., hidden[-1])."""
        for width in self.hidden:
            x = nn.relu(nn.Dense(width, kernel_init=orthogonal, bias_init=self.bias_init)(x))
            if self.layer_norm:
                x = LayerNorm()(x)
        return x


class Value(nn.Module):
    """State value V(s), or action value Q(s, a) if called with an action: shape (...)."""

    encoder: Encoder
    hidden: tuple[int, ...]
    layer_norm: bool = False

    @nn.compact
    def __call__(self, observation: Observation, action: Array | None = None) -> Array:
        """Return values of shape (...)."""
        features = MLP(self.hidden, self.layer_norm)(self.encoder()(observation, action))
        return nn.Dense(1, kernel_init=orthogonal)(features)[..., 0]


class Critics(nn.Module):
    """Independent action values Q_i(s, a): shape (count, ...).

    Written out rather than batched: on a CPU separate matrix products are faster than a batched one.
    """

    encoder: Encoder
    hidden: tuple[int, ...]
    count: int = 2
    layer_norm: bool = False

    @nn.compact
    def __call__(self, observation: Observation, action: Array, first: int | None = None) -> Array:
        """Return values of shape (count, ...); with `first`, of so many of the critics alone."""
        count = self.count if first is None else first
        critics = [Value(self.encoder, self.hidden, self.layer_norm) for _ in range(count)]
        return jnp.stack([critic(observation, action) for critic in critics])


class GaussianPolicy(nn.Module):
    """Normal distribution N(tanh(m(s)), σ²) with a standard deviation σ that does not depend on s."""

    encoder: Encoder
    hidden: tuple[int, ...]
    action_dim: int

    @nn.compact
    def __call__(self, observation: Observation) -> tuple[Array, Array]:
        """Return the mean (..., A) in (-1, 1) and the log standard deviation (A,)."""
        features = MLP(self.hidden)(self.encoder()(observation))
        mean = jnp.tanh(nn.Dense(self.action_dim, kernel_init=orthogonal)(features))
        log_std = self.param("log_std", nn.initializers.zeros, (self.action_dim,))
        return mean, jnp.clip(log_std, *LOG_STD_BOUNDS)


class DeterministicPolicy(nn.Module):
    """Action tanh(m(s))."""

    encoder: Encoder
    hidden: tuple[int, ...]
    action_dim: int
    layer_norm: bool = False

    @nn.compact
    def __call__(self, observation: Observation) -> Array:
        """Return actions (..., A) in (-1, 1)."""
        features = MLP(self.hidden, self.layer_norm)(self.encoder()(observation))
        return jnp.tanh(nn.Dense(self.action_dim, kernel_init=orthogonal)(features))


class SquashedGaussianPolicy(nn.Module):
    """Normal distribution N(m(s), σ(s)²) of what a tanh then squashes (SAC)."""

    encoder: Encoder
    hidden: tuple[int, ...]
    action_dim: int

    @nn.compact
    def __call__(self, observation: Observation) -> tuple[Array, Array]:
        """Return mean and log standard deviation (..., A) before the tanh."""
        features = MLP(self.hidden)(self.encoder()(observation))
        both = nn.Dense(2 * self.action_dim, kernel_init=orthogonal)(features)
        mean, log_std = jnp.split(both, 2, axis=-1)
        return mean, jnp.clip(log_std, *LOG_STD_BOUNDS)


def squashed_sample(
    distribution: tuple[Array, Array], key: Array, count: int | None = None
) -> tuple[Array, Array]:
    """Return actions tanh(u), u ~ N(mean, exp(log_std)²), (..., A) and their log-densities (...).

    `distribution` holds mean and log_std, (..., A) both, as `SquashedGaussianPolicy` returns them.
    With `count` there is a leading axis of so many draws. By the change of variables

        log π(a) = log N(u) - Σ_j log(1 - tanh(u_j)²)

    where the last term is written as 2 (log 2 - u - softplus(-2u)), which does not overflow.
    """
    mean, log_std = distribution
    shape = mean.shape if count is None else (count, *mean.shape)
    u = mean + jnp.exp(log_std) * jax.random.normal(key, shape)
    squash = jnp.sum(2 * (jnp.log(2.0) - u - jax.nn.softplus(-2 * u)), axis=-1)
    return jnp.tanh(u), gaussian_log_prob(mean, log_std, u) - squash


def gaussian_log_prob(mean: Array, log_std: Array, action: Array) -> Array:
    """Return Σ_j log N(a_j; mean_j, exp(log_std_j)²), shape (...)."""
    z = (action - mean) * jnp.exp(-log_std)
    return -0.5 * jnp.sum(z**2 + 2 * log_std + jnp.log(2 * jnp.pi), axis=-1)


class Scalar(nn.Module):
    """A single learned number."""

    start: float

    @nn.compact
    def __call__(self) -> Array:
        """Return it, shape ()."""
        return self.param("value", nn.initializers.constant(self.start), ())


@dataclass(frozen=True)
class Networks:
    """What the surroundings decide about networks: the encoder, the widths behind it, the action's size."""

    action_dim: int
    hidden: tuple[int, ...]
    encoder: Encoder = Concatenate

    def value(self, layer_norm: bool = False) -> Value:
        """Return a state-value network."""
        return Value(self.encoder, self.hidden, layer_norm)

    def critics(self, count: int = 2, layer_norm: bool = False) -> Critics:
        """Return `count` independent action-value networks."""
        return Critics(self.encoder, self.hidden, count, layer_norm)

    def deterministic_policy(self, layer_norm: bool = False) -> DeterministicPolicy:
        """Return a policy without noise."""
        return DeterministicPolicy(self.encoder, self.hidden, self.action_dim, layer_norm)

    def squashed_gaussian_policy(self) -> SquashedGaussianPolicy:
        """Return SAC's policy."""
        return SquashedGaussianPolicy(self.encoder, self.hidden, self.action_dim)

    def gaussian_policy(self) -> GaussianPolicy:
        """Return a policy with a state-independent standard deviation."""
        return GaussianPolicy(self.encoder, self.hidden, self.action_dim)


@dataclass(frozen=True)
class Adam:
    """Adam (Kingma, Ba; ICLR 2015) as a value: two with equal settings are equal.

    optax's own transformations are not, and compiled programs for one would not be found for the other.
    """

    learning_rate: float
    decay_updates: int | None = None
    """Let the step size fall to zero along half a cosine over so many updates."""

    @property
    def transformation(self) -> optax.GradientTransformation:
        """The optimizer."""
        if self.decay_updates is None:
            return optax.adam(self.learning_rate)
        return optax.adam(optax.cosine_decay_schedule(self.learning_rate, self.decay_updates))


@struct.dataclass
class Model:
    """A network with its parameters and its optimizer's state."""

    params: Any
    opt_state: Any
    module: nn.Module = struct.field(pytree_node=False)
    optimizer: Adam = struct.field(pytree_node=False)

    @classmethod
    def create(cls, module: nn.Module, optimizer: Adam, key: Array, *inputs: Any) -> Model:
        """Initialise `module` for `inputs`, of which only shapes matter."""
        params = module.lazy_init(key, *jax.eval_shape(lambda: inputs))["params"]
        return cls(params, optimizer.transformation.init(params), module, optimizer)

    def __call__(self, *inputs: Any, params: Any = None) -> Any:
        """Apply the network, with `params` in place of its own if given."""
        return self.module.apply({"params": self.params if params is None else params}, *inputs)

    def minimize(self, loss: Callable[..., tuple[Array, Metrics]], *args: Any) -> tuple[Model, Metrics]:
        """Take one optimizer step on `loss(params, *args) -> (loss, metrics)`."""
        gradient, metrics = jax.grad(loss, has_aux=True)(self.params, *args)
        updates, opt_state = self.optimizer.transformation.update(gradient, self.opt_state, self.params)
        return replace(self, params=optax.apply_updates(self.params, updates), opt_state=opt_state), metrics


def polyak(target: Any, online: Any, rate: float) -> Any:
    """Return (1 - rate) target + rate online, leaf by leaf."""
    return optax.incremental_update(online, target, rate)
