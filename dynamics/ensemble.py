"""Ensembles of probabilistic networks (PETS, Chua et al. 2018; MBPO, Janner et al. 2019)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from cocoa.dynamics.config import EnsembleConfig
from cocoa.dynamics.xla.numerics import exact

Array = jax.Array
Params = dict[str, Any]
"""Of one member: `layers`, a list of {kernel (d, h), bias (h,)}, and the bounds `min_log_variance` and
`max_log_variance`, each (T,). Of several members: the same with a leading axis."""


def init_params(key: Array, inputs: int, hidden: tuple[int, ...], targets: int) -> Params:
    """Return one member's parameters: weights from a normal of deviation 1 / (2 √fan-in), cut at two."""
    widths = (inputs, *hidden, 2 * targets)
    layers = []
    for layer_key, fan_in, fan_out in zip(
        jax.random.split(key, len(widths) - 1), widths[:-1], widths[1:], strict=True
    ):
        kernel = jax.random.truncated_normal(layer_key, -2.0, 2.0, (fan_in, fan_out)) / (2 * fan_in**0.5)
        layers.append({"kernel": kernel, "bias": jnp.zeros(fan_out)})
    return {
        "layers": layers,
        "min_log_variance": jnp.full(targets, -10.0, jnp.float32),
        "max_log_variance": jnp.full(targets, 0.5, jnp.float32),
    }


def predict(params: Params, x: Array) -> tuple[Array, Array]:
    """Return one member's mean and log-variance, both (..., T), for standardised inputs (..., I).

    The log-variance is softly kept between the member's learned bounds.
    """
    last = params["layers"][-1]
    outputs = _features(params, x) @ last["kernel"] + last["bias"]
    mean, log_variance = jnp.split(outputs, 2, axis=-1)
    low, high = params["min_log_variance"], params["max_log_variance"]
    log_variance = high - _softplus(high - log_variance)
    return mean, low + _softplus(log_variance - low)


def predict_mean(params: Params, x: Array) -> Array:
    """Return the mean of `predict` alone, (..., T), for standardised inputs (..., I).

    XLA does not shrink a product of whose columns half are not used.
    """
    last, targets = params["layers"][-1], len(params["min_log_variance"])
    return _features(params, x) @ last["kernel"][:, :targets] + last["bias"][:targets]


def _features(params: Params, x: Array) -> Array:
    for layer in params["layers"][:-1]:
        x = jax.nn.swish(x @ layer["kernel"] + layer["bias"])
    return x


def _softplus(x: Array) -> Array:
    """Return log(1 + e^x), to float32's absolute rounding.

    jax.nn.softplus is precise where it is almost 0, too, which nothing here needs; with it a fit takes 4 %
    longer.
    """
    return jnp.maximum(x, 0) + jnp.log(1 + jnp.exp(-jnp.abs(x)))


def negative_log_likelihood(
    params: Params,
    x: Array,
    target: Array,
    weight_decay: tuple[float, ...],
    bounds_penalty: float,
    variance_exponent: float = 0.0,
) -> Array:
    """Return one member's loss on a batch of standardised inputs (B, I) and targets (B, T).

        L = E[w ((t - μ)² exp(-ℓ) + ℓ)] + ½ Σ_l wd_l |W_l|² + c Σ_j w̄_j (ℓmax_j - ℓmin_j),
        w = exp(β ℓ) / E[exp(β ℓ)], without gradient,   w̄_j = its mean over the rows,

    with mean μ and log-variance ℓ, expectations over rows and outputs. With β = `variance_exponent` = 0 it is
    MBPO's loss, the likelihood, whose gradient hardly moves a mean where the variance is large. β > 0 takes
    that back (β-NLL, Seitzer et al. 2022; there w is not divided by its mean, so that the two
    penalties would weigh more the smaller the variances are). The bounds of an output weigh as much as the
    output: else they would outweigh the likelihood where the variance is small.
    """
    mean, log_variance = predict(params, x)
    likelihood = (target - mean) ** 2 * jnp.exp(-log_variance) + log_variance
    weights = jnp.ones_like(log_variance)
    if variance_exponent:  # else XLA would not see that the weights are constant
        weights = jax.lax.stop_gradient(jnp.exp(variance_exponent * log_variance))
        weights /= weights.mean()
    decay = sum(
        0.5 * weight * jnp.sum(layer["kernel"] ** 2)
        for weight, layer in zip(weight_decay, params["layers"], strict=True)
    )
    bounds = jnp.sum(weights.mean(axis=0) * (params["max_log_variance"] - params["min_log_variance"]))
    return jnp.mean(weights * likelihood) + decay + bounds_penalty * bounds


@struct.dataclass
class Ensemble:
    """The elite members, with the moments of the data that they were trained on."""

    params: Params
    """Leading axis: members."""
    input_mean: Array
    """(I,)"""
    input_std: Array
    """(I,)"""
    target_mean: Array
    """(T,)"""
    target_std: Array
    """(T,), 0 for a constant target"""

    @property
    def size(self) -> int:
        """How many members there are."""
        return len(self.params["min_log_variance"])

    @exact
    def distribution(self, inputs: Array) -> tuple[Array, Array]:
        """Return means and standard deviations (members, ..., T) for inputs (..., I), physical units."""
        # Written out: on a CPU separate matrix products are faster than a batched one.
        members = [self.member(index)(inputs) for index in range(self.size)]
        means, stds = zip(*members, strict=True)
        return jnp.stack(means), jnp.stack(stds)

    @exact
    def means(self, inputs: Array) -> Array:
        """Return the means of `distribution` alone (members, ..., T)."""
        x = self._standardised(inputs)
        means = [predict_mean(self._params(index), x) for index in range(self.size)]
        return jnp.stack(means) * self.target_std + self.target_mean

    def mean(self, inputs: Array) -> Array:
        """Return the mean of the members' means (..., T)."""
        return self.means(inputs).mean(axis=0)

    @exact
    def sample(self, inputs: Array, key: Array) -> Array:
        """Return a draw (N, T) for each row of inputs (N, I), from a member chosen at random for each.

        The rows are dealt to the members in equal shares, so that each computes only its own.
        """
        rows = len(inputs)
        order_key, noise_key = jax.random.split(key)
        share = -(-rows // self.size)
        dealt = jnp.full(share * self.size, rows, jnp.int32)  # row number `rows`: none
        dealt = dealt.at[:rows].set(jax.random.permutation(order_key, rows))
        # Padding sits at the end and would always fall to the last members: rotate who gets which share.
        first = jax.random.randint(jax.random.fold_in(order_key, 1), (), 0, self.size)
        hands = dealt.reshape(self.size, share)
        noise = jax.random.normal(noise_key, (rows, len(self.target_mean)))
        drawn = jnp.zeros((rows, len(self.target_mean)))
        for index in range(self.size):
            hand = hands[(index + first) % self.size]
            mean, std = self.member(index)(inputs.at[hand].get(mode="clip"))
            values = mean + std * noise.at[hand].get(mode="clip")
            drawn = drawn.at[hand].set(values, mode="drop")
        return drawn

    def member(self, index: int) -> Callable[[Array], tuple[Array, Array]]:
        """Return a function from inputs (..., I) to one member's mean and deviation (..., T)."""
        params = self._params(index)

        def distribution(inputs: Array) -> tuple[Array, Array]:
            mean, log_variance = predict(params, self._standardised(inputs))
            std = jnp.exp(0.5 * log_variance) * self.target_std
            return mean * self.target_std + self.target_mean, std

        return distribution

    def _params(self, index: int) -> Params:
        return jax.tree.map(lambda x: x[index], self.params)

    def _standardised(self, inputs: Array) -> Array:
        return (inputs - self.input_mean) / self.input_std


def ensemble_template(config: EnsembleConfig, inputs: int, targets: int) -> Ensemble:
    """Return the structure of a fitted ensemble: `jax.ShapeDtypeStruct`s in place of its arrays."""

    def vector(size: int) -> Any:
        return jax.ShapeDtypeStruct((size,), jnp.float32)

    keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0), config.elites))
    params = jax.eval_shape(jax.vmap(lambda key: init_params(key, inputs, config.hidden, targets)), keys)
    return Ensemble(params, vector(inputs), vector(inputs), vector(targets), vector(targets))
