"""Where anchors come from: COCOA's seeker, and the controls that tell what it contributes.

Each variant is a pytree of arrays that maps states (..., O) to anchors (..., O), both in the environment's
units. The anchor depends on the state and these arrays alone: the same state has the same anchor in the
dataset, in evaluation and in any batch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, ClassVar, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from cocoa.anchors.config import CocoaConfig
from cocoa.anchors.learned import Learned
from cocoa.errors import ConfigError, DataError

_ROWS_AT_ONCE = 64  # nearest: keeps (rows, candidates, candidates) in the cache


class Anchors(Protocol):
    """What maps states (..., O) to anchors (..., O)."""

    def __call__(self, states: jax.Array) -> jax.Array:
        """Return the anchors of `states`."""
        ...


@dataclass(frozen=True)
class Ingredients:
    """What anchors can be made of.

    observations: (N, O), environment units, in time order. episodes: (N,), the episode of each row.
    std: (O,), standard deviation of the observations, positive. key: typed PRNG key.
    forward: has `mean_step(state, action) -> (next_state, reward)`. seeker: maps states to actions.
    network: the denoiser, an `Ensemble`. The last three are needed only where `needs` says so.
    """

    observations: np.ndarray
    episodes: np.ndarray
    std: np.ndarray
    key: jax.Array
    forward: Any = None
    seeker: Any = None
    network: Any = None

    @property
    def salt(self) -> jax.Array:
        """A number that tells two seeds' hashes apart, uint32."""
        return jax.random.bits(self.key)


@struct.dataclass
class Seek:
    """COCOA: the state after `horizon` steps of the mean forward dynamics under the seeker."""

    needs: ClassVar[str] = "models"

    forward: Any
    seeker: Any
    horizon: int = struct.field(pytree_node=False)

    @classmethod
    def build(cls, config: CocoaConfig, given: Ingredients) -> Seek:
        """Take the models."""
        return cls(given.forward, given.seeker, config.horizon)

    def __call__(self, states: jax.Array) -> jax.Array:
        """Walk from `states`."""
        for _ in range(self.horizon):
            states, _ = self.forward.mean_step(states, self.seeker(states))
        return states


@struct.dataclass
class Settle(Seek):
    """Of the state and the `horizon` states after it on the seeker's way, the one that the models know best.

    That is where their means agree: it minimises |std_i μ_i(s, π̃(s)) / scale| over the members i, with the
    standard deviations `scale` (O,) of the data. States on the data are left where they are, and states off
    it are led as far as it helps.
    """

    scale: jax.Array

    @classmethod
    def build(cls, config: CocoaConfig, given: Ingredients) -> Settle:
        """Take the models."""
        return cls(given.forward, given.seeker, config.horizon, jnp.asarray(given.std))

    def __call__(self, states: jax.Array) -> jax.Array:
        """Walk from `states`, and return the best of each way."""
        best, least = states, jnp.full(states.shape[:-1], jnp.inf)
        for _ in range(self.horizon + 1):
            means = self.forward.means(states, self.seeker(states))[..., :-1]
            doubt = jnp.linalg.norm(means.std(axis=0) / self.scale, axis=-1)
            better = doubt < least
            best = jnp.where(better[..., None], states, best)
            least = jnp.where(better, doubt, least)
            states = means.mean(axis=0)
        return best


@struct.dataclass
class Denoise(Learned):
    """The expected data state of which the state is a noisy one; see `denoising_data`."""

    needs: ClassVar[str] = "network"

    @classmethod
    def build(cls, config: CocoaConfig, given: Ingredients) -> Denoise:
        """Take the network."""
        return cls(given.network)


@struct.dataclass
class Nearest:
    """The data state c_i whose difference s - c_i is nearest to a reference difference d_j.

    Minimises min_j |(s - c_i - d_j) / std| over the data states c_i (c, O) in `states`. The reference
    differences d_j (c, O) in `deltas` are what k = `cocoa.horizon` steps of the behaviour make,
    d = s_t - s_{t+k}: of the sign and over the steps that a seeker's s - s̃ has.
    """

    needs: ClassVar[str] = ""

    states: jax.Array
    deltas: jax.Array
    std: jax.Array

    @classmethod
    def build(cls, config: CocoaConfig, given: Ingredients) -> Nearest:
        """Draw the candidates without replacement. Raises DataError if no episode has more than k steps."""
        rng = np.random.default_rng(np.asarray(jax.random.key_data(given.key)).tolist())
        k, rows = config.horizon, len(given.observations)
        starts = np.flatnonzero(given.episodes[:-k] == given.episodes[k:])
        if len(starts) == 0:
            raise DataError(
                f"Anchors of the variant 'nearest' need differences of states that are cocoa.horizon={k} "
                "steps apart, but no episode of the dataset is that long. Set "
                f"{'a smaller cocoa.horizon or ' if k > 1 else ''}another cocoa.variant."
            )
        states = rng.choice(rows, min(config.candidates, rows), replace=False)
        starts = rng.choice(starts, min(config.candidates, len(starts)), replace=False)
        deltas = given.observations[starts] - given.observations[starts + k]
        return cls(jnp.asarray(given.observations[states]), jnp.asarray(deltas), jnp.asarray(given.std))

    def __call__(self, states: jax.Array) -> jax.Array:
        """Search for each of `states`."""
        # |s - c - d|² = |s - c|² + (|d|² + 2 c·d) - 2 s·d: what depends on c, d and s at once is a sum.
        center = self.states.mean(axis=0)
        candidates, deltas = (self.states - center) / self.std, self.deltas / self.std
        pairs = jnp.matmul(2 * candidates, deltas.T, precision="highest") + jnp.sum(deltas**2, axis=-1)

        def anchor(state: jax.Array) -> jax.Array:
            row = (state - center) / self.std
            to_candidates = jnp.sum((row - candidates) ** 2, axis=-1)
            to_deltas = jnp.min(pairs - jnp.matmul(2 * deltas, row, precision="highest"), axis=1)
            return self.states[jnp.argmin(to_candidates + to_deltas)]

        rows = states.reshape(-1, states.shape[-1])
        return jax.lax.map(anchor, rows, batch_size=_ROWS_AT_ONCE).reshape(states.shape)


@struct.dataclass
class Random:
    """A data state out of `states` (N, O), drawn by a hash of the state's bits."""

    needs: ClassVar[str] = ""

    states: jax.Array
    salt: jax.Array

    @classmethod
    def build(cls, config: CocoaConfig, given: Ingredients) -> Random:
        """Take all data states."""
        return cls(jnp.asarray(given.observations), given.salt)

    def __call__(self, states: jax.Array) -> jax.Array:
        """Draw for each of `states`."""
        return draw(
            states, self.salt, lambda key: self.states[jax.random.randint(key, (), 0, len(self.states))]
        )


@struct.dataclass
class SelfNoise:
    """The state plus normal noise of standard deviation `scale` (O,), drawn by a hash of the state's bits."""

    needs: ClassVar[str] = ""

    scale: jax.Array
    salt: jax.Array

    @classmethod
    def build(cls, config: CocoaConfig, given: Ingredients) -> SelfNoise:
        """Measure the noise in standard deviations of the data."""
        return cls(config.noise * jnp.asarray(given.std), given.salt)

    def __call__(self, states: jax.Array) -> jax.Array:
        """Draw for each of `states`."""
        return states + self.scale * draw(
            states, self.salt, lambda key: jax.random.normal(key, self.scale.shape)
        )


@struct.dataclass
class Zero:
    """The state itself, so that the difference is zero: COCOA's networks at equal cost, without anchors."""

    needs: ClassVar[str] = ""

    @classmethod
    def build(cls, config: CocoaConfig, given: Ingredients) -> Zero:
        """Take nothing."""
        return cls()

    def __call__(self, states: jax.Array) -> jax.Array:
        """Return `states`."""
        return states


VARIANTS: dict[str, Any] = {
    "seek": Seek,
    "settle": Settle,
    "denoise": Denoise,
    "nearest": Nearest,
    "random": Random,
    "self-noise": SelfNoise,
    "zero": Zero,
}
"""Variants by the name under which `cocoa.variant=` finds them."""


def build_anchors(config: CocoaConfig, given: Ingredients) -> Anchors:
    """Return the anchors that `config` names. Raises ConfigError if there is no such variant."""
    return _variant(config.variant).build(config, given)


def needs(variant: str) -> str:
    """Return what `variant` is made of: `models` (and the seeker), the denoising `network`, or nothing, ``.

    Raises ConfigError if it does not exist.
    """
    return _variant(variant).needs


def _variant(name: str) -> Any:
    if name in VARIANTS:
        return VARIANTS[name]
    near = get_close_matches(name, VARIANTS, n=1, cutoff=0.0)[0]
    raise ConfigError(
        f"There is no variant {name!r} of anchors; the nearest name is {near!r}. Set cocoa.variant=."
    )


def draw(states: jax.Array, salt: jax.Array, sample: Callable[[jax.Array], jax.Array]) -> jax.Array:
    """Return `sample(key)` for each of `states` (..., O), with a key made of the state's hash."""
    hashes = bit_hash(states, salt)
    samples = jax.vmap(lambda seed: sample(jax.random.key(seed)))(hashes.reshape(-1))
    return samples.reshape(*hashes.shape, *samples.shape[1:])


def bit_hash(states: jax.Array, salt: jax.Array) -> jax.Array:
    """Return a uint32 (...) for each of float32 `states` (..., O): a hash of bits, places and `salt`.

    Equal numbers have equal hashes: -0.0 counts as 0.0.
    """
    words = jax.lax.bitcast_convert_type(jnp.where(states == 0, 0.0, states), jnp.uint32)
    places = np.uint32(0x9E3779B9) * jnp.arange(1, words.shape[-1] + 1, dtype=jnp.uint32)
    return _mix(salt + jnp.sum(_mix(words + places), axis=-1, dtype=jnp.uint32))


def _mix(x: jax.Array) -> jax.Array:
    """Spread each bit of `x` over all 32: the finalizer of MurmurHash3 (Appleby, public domain)."""
    x = (x ^ (x >> 16)) * np.uint32(0x85EBCA6B)
    x = (x ^ (x >> 13)) * np.uint32(0xC2B2AE35)
    return x ^ (x >> 16)
