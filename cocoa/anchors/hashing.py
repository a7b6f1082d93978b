"""Random draws that depend on a state's bits alone: the same state always gets the same one."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np


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
