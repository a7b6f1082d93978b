"""Training of an ensemble in epochs; it stops and goes on between any two of them, bit for bit."""

from __future__ import annotations

import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct
from numpy.typing import ArrayLike

from cocoa.dynamics.config import EnsembleConfig
from cocoa.dynamics.ensemble import Array, Ensemble, Params, init_params, negative_log_likelihood, predict
from cocoa.dynamics.epochs import EpochFit
from cocoa.dynamics.moments import divisor, moments
from cocoa.dynamics.rows import finite_rows
from cocoa.dynamics.xla.compiler import ONE_CORE_OPTIONS, compiler_options

Rows = tuple[Array, Array]
"""Inputs and targets, as they are fitted."""


@struct.dataclass
class FitState:
    """Everything that changes while an ensemble is trained; leading axis of the first four: members."""

    params: Params
    optimizer: Any
    best_params: Params
    best_error: Array
    """Lowest mean squared error on the holdout, (members,), of targets as they are fitted."""
    stale_epochs: Array
    """Epochs in a row in which no member improved."""
    epoch: Array


class EnsembleFit(EpochFit):
    """Fit of an ensemble to (inputs, targets): inputs are standardised, targets if the configuration says so.

    Each member has its own bootstrap sample of the training rows, reshuffled in every epoch; what does not
    fill a last batch is left out. Training ends after `max_epochs`, after the epoch in which `max_updates` is
    reached, or, with a constant step size, after `patience` epochs in which no member's holdout error fell by
    the share `min_improvement`. Each member goes back to its best epoch, at the end or, with
    `restart_from_best`, after every epoch.

    Which rows are held out depends on their number alone, not on the key: models of the same transitions
    have the same held-out rows, so that they can be tested together on rows that none of them has seen.
    """

    def __init__(self, config: EnsembleConfig, inputs: ArrayLike, targets: ArrayLike, key: Array):
        """Take inputs (N, I), targets (N, T) and a typed PRNG key.

        Raises ValueError for wrong shapes, less than two rows, or numbers that are not finite.
        """
        x, y = finite_rows(inputs, "inputs"), finite_rows(targets, "targets")
        if len(x) != len(y):
            raise ValueError(f"inputs have {len(x)} rows and targets {len(y)}: they must be as many")
        if len(x) < 2:
            raise ValueError(f"a model needs at least 2 rows to be fitted and tested, and not {len(x)}")
        self.config: EnsembleConfig = config
        self.key = key
        self.draws = np.asarray(jax.random.key_data(jax.random.fold_in(key, 1))).tolist()
        held_out = held_out_rows(config, len(x))
        train = np.delete(np.arange(len(x)), held_out)
        self.input_moments, self.target_moments = moments(x[train]), moments(y[train])
        if not config.standardize_targets:
            self.target_moments = _raw_moments(*self.target_moments)
        x, y = _standardise(x, *self.input_moments), _standardise(y, *self.target_moments)
        self.train_data = jax.device_put((x[train], y[train]))
        self.holdout_data = jax.device_put((x[held_out], y[held_out]))

    def init(self) -> FitState:
        """Return the state before the first epoch."""
        sizes = self.train_data[0].shape[1], self.config.hidden, self.train_data[1].shape[1]
        return _initial(self.config, sizes, self.key)

    def epoch(self, state: FitState) -> tuple[FitState, dict[str, float]]:
        """Return the state after one more epoch and its losses; `state` is used up.

        Raises ValueError if too few members for the elites have ever had a finite holdout error.
        """
        epoch, rows = int(state.epoch), (self.train_data, self.holdout_data)
        params, optimizer, loss, error = _train_members(
            self.config, state, rows, lambda member: self.batches(epoch, member)
        )
        state = _keep_best(self.config, state, params, optimizer, error)
        holdout_error = float(np.sort(state.best_error)[: self.config.elites].mean())
        if not np.isfinite(holdout_error):
            raise ValueError(
                f"the ensemble diverged in epoch {int(state.epoch)}: less than {self.config.elites} of its "
                f"members have a finite holdout error. Lower learning_rate ({self.config.learning_rate})."
            )
        return state, {"loss": float(np.mean(loss)), "holdout_error": holdout_error}

    def batches(self, epoch: int, member: int) -> np.ndarray:
        """Return (B, batch_size) numbers of training rows: the member's bootstrap sample in a new order.

        Drawn on the host, where a permutation takes milliseconds; on a CPU's device it sorts, which takes
        more than a tenth of the training.
        """
        rows, updates, size = len(self.train_data[0]), self.updates, self._batch_size
        bootstrap = np.random.default_rng([*self.draws, member, 0]).integers(rows, size=rows, dtype=np.int32)
        order = np.random.default_rng([*self.draws, member, 1 + epoch]).permutation(bootstrap)
        return order[: updates * size].reshape(updates, size)

    @property
    def updates(self) -> int:
        """Updates of an epoch."""
        return len(self.train_data[0]) // self._batch_size

    @property
    def _batch_size(self) -> int:
        return min(self.config.batch_size, len(self.train_data[0]))

    def result(self, state: FitState) -> Ensemble:
        """Return the members with the lowest holdout errors, as they were in their best epochs."""
        elites = np.argsort(state.best_error, kind="stable")[: self.config.elites]
        params = jax.tree.map(lambda x: np.asarray(x)[elites], state.best_params)
        (input_mean, input_std), (target_mean, target_std) = self.input_moments, self.target_moments
        # A constant target keeps the deviation 0: it is predicted exactly and without noise.
        vectors = input_mean, divisor(input_std), target_mean, target_std
        return Ensemble(*jax.device_put((params, *vectors)))


def held_out_rows(config: EnsembleConfig, rows: int) -> np.ndarray:
    """Return the sorted indices of the rows kept for validation, at least one."""
    count = max(1, min(int(config.holdout_fraction * rows), config.max_holdout))
    return np.sort(np.random.default_rng(0).permutation(rows)[:count])


def _raw_moments(mean: np.ndarray, std: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return moments that leave columns raw; those of constant ones stay, which are predicted exactly."""
    varies = std > 0
    return np.where(varies, np.float32(0), mean), varies.astype(np.float32)


def _standardise(rows: np.ndarray, mean: np.ndarray, std: np.ndarray) -> np.ndarray:
    return (rows - mean) / divisor(std)


def _optimizer(config: EnsembleConfig, updates: int) -> optax.GradientTransformation:
    """Return Adam for epochs of `updates` updates."""
    if not config.learning_rate_decay:
        return optax.adam(config.learning_rate)
    whole = config.epochs(updates) * updates
    return optax.adam(optax.linear_schedule(config.learning_rate, 0.0, whole))


@functools.partial(jax.jit, static_argnums=(0, 1))
def _initial(config: EnsembleConfig, sizes: tuple[int, tuple[int, ...], int], key: Array) -> FitState:
    """Return the state before the first epoch of members with these inputs, hidden layers and targets."""
    keys = jax.random.split(jax.random.fold_in(key, 0), config.members)
    params = jax.vmap(lambda key: init_params(key, *sizes))(keys)
    optimizer = jax.vmap(_optimizer(config, 1).init)(params)
    best_error = jnp.full(config.members, jnp.inf, jnp.float32)
    return FitState(params, optimizer, params, best_error, jnp.int32(0), jnp.int32(0))


def _train_members(
    config: EnsembleConfig, state: FitState, rows: tuple[Rows, Rows], batches: Callable[[int], np.ndarray]
) -> tuple[Params, Any, Array, Array]:
    """Return what `_member_epoch` does of all members, stacked; `batches` gives a member's.

    On a CPU each member has a thread, which computes on one core: to divide products of this size among
    cores, or to batch them, is slower. NumPy takes the members apart and joins them, for which JAX would
    compile a program for each shape. Accelerators compute all members at once.
    """
    train, members = _program(config), range(config.members)
    if jax.default_backend() != "cpu":
        return train((state.params, state.optimizer), rows, np.stack([batches(index) for index in members]))

    def one(index: int) -> Any:
        member = jax.tree.map(lambda x: np.asarray(x)[index], (state.params, state.optimizer))
        return jax.block_until_ready(train(member, rows, batches(index)))

    with ThreadPoolExecutor(config.members) as pool:
        return jax.tree.map(lambda *leaves: np.stack(leaves), *pool.map(one, members))


@functools.cache
def _program(config: EnsembleConfig) -> Callable[..., Any]:
    """Return `_member_epoch` compiled: of one member on a CPU, of all of them elsewhere."""
    member = functools.partial(_member_epoch, config)
    if jax.default_backend() == "cpu":
        return jax.jit(member, compiler_options=compiler_options(ONE_CORE_OPTIONS))
    return jax.jit(jax.vmap(member, in_axes=(0, None, 0)))


def _member_epoch(
    config: EnsembleConfig, member: tuple[Params, Any], rows: tuple[Rows, Rows], batches: Array
) -> tuple[Params, Any, Array, Array]:
    """Train one member, parameters and optimizer state, on `batches` (B, size) of training rows' numbers.

    Return the two, its mean loss, and its error on the held-out rows.
    """
    train, (inputs, targets) = rows

    def loss(params: Params, x: Array, y: Array) -> Array:
        penalties = config.weight_decay, config.log_variance_penalty
        return negative_log_likelihood(params, x, y, *penalties, config.variance_exponent)

    def update(carry: tuple[Params, Any], batch: Array) -> tuple[tuple[Params, Any], Array]:
        params, optimizer = carry
        value, gradient = jax.value_and_grad(loss)(params, *(part[batch] for part in train))
        updates, optimizer = _optimizer(config, len(batches)).update(gradient, optimizer, params)
        moved: Any = optax.apply_updates(params, updates)
        return (moved, optimizer), value

    (params, optimizer), losses = jax.lax.scan(update, member, batches)
    error = jnp.mean((predict(params, inputs)[0] - targets) ** 2)
    return params, optimizer, losses.mean(), error


@functools.partial(jax.jit, static_argnums=0, donate_argnums=1)
def _keep_best(
    config: EnsembleConfig, state: FitState, params: Params, optimizer: Any, error: Array
) -> FitState:
    """Return the state after an epoch that ended with these parameters and holdout errors (members,)."""
    improved = error < (1 - config.min_improvement) * state.best_error

    def better(new: Array, old: Array) -> Array:
        return jnp.where(improved.reshape(-1, *[1] * (new.ndim - 1)), new, old)

    best_params = jax.tree.map(better, params, state.best_params)
    return FitState(
        params=best_params if config.restart_from_best else params,
        optimizer=optimizer,
        best_params=best_params,
        best_error=better(error, state.best_error),
        stale_epochs=jnp.where(improved.any(), 0, state.stale_epochs + 1),
        epoch=state.epoch + 1,
    )
