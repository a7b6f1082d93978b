"""Conservative Q-learning (Kumar, Zhou, Tucker, Levine; NeurIPS 2020; arXiv 2006.04779)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import struct

from cocoa.algos import sac
from cocoa.algos.base import Array, Batch, Metrics, Observation, check_at_least, check_positive, register
from cocoa.algos.networks import Adam, Model, Networks, Scalar
from cocoa.dynamics.xla.blocks import count_blocks, mean_over_blocks

_ROWS_AT_ONCE = 1024  # rows of the critics in both passes: keeps their activations in a CPU's cache


@struct.dataclass
class State(sac.State):
    """What CQL learns: what SAC does, and the weight of the penalty if that is learned."""

    log_weight: Model


@register("cql")
@dataclass(frozen=True)
class CQL(sac.SAC):
    """CQL(H): SAC whose critics are pushed down on actions outside of the data.

    Adds to each critic's loss

        w (E T log Σ_k exp((Q_i(s, a_k) - log μ_k(a_k)) / T) - E Q_i(s, a))

    The sum runs over 3n actions a_k, an importance-sampled estimate of log ∫ exp Q_i(s, a) da up to the
    constant log 3n: n each from the uniform distribution, from π(s) and from π(s'), all taken as actions in
    s, with log-densities log μ_k. With `lagrange` the weight is multiplied by a learned β ≥ 0 that holds w
    times the bracket, the *gap*, at τ: L(β) = -β (w gap - τ), with the critics' mean gap, as the authors'
    code has it (w is 1 in the paper's). That code also clones the data in the policy's first 40,000 updates,
    which is left out here, as in OfflineRL-Kit's.

    `calibrated` makes it Cal-QL (Nakamoto et al.; NeurIPS 2023; arXiv 2303.05479), to go on from online: for
    the 2n actions of the policy the penalty sees max(Q_i(s, a_k), G) with the behaviour's return-to-go G, so
    that it pushes no value below that. Where G is not known, as in an episode that runs, nothing bounds.
    """

    toy_fields: ClassVar[Mapping[str, Any]] = {"weight": 0.3, "samples": 4}

    hidden: tuple[int, ...] = (256, 256, 256)
    """Widths of the hidden layers of actor and critics, behind the encoder."""
    actor_learning_rate: float = 1e-4
    """Adam's step size of the policy, and of α."""
    deterministic_backup: bool = True
    """Leave the entropy out of the critics' target."""
    weight: float = 5.0
    """w: weight of the penalty."""
    penalty_temperature: float = 1.0
    """T of the log-sum-exp."""
    samples: int = 10
    """n: actions of each of the three kinds."""
    lagrange: bool = False
    """Learn a factor on the weight that holds the penalty at `lagrange_gap`."""
    lagrange_gap: float = 10.0
    """τ: where `lagrange` holds the gap times `weight`."""
    max_q_backup: bool = False
    """Bootstrap from the best of n actions of the policy, each critic's own, instead of one."""
    calibrated: bool = False
    """Push no value of the policy's actions below the return of the data (Cal-QL)."""

    def __post_init__(self) -> None:
        """Raise ValueError for a value that is out of range."""
        super().__post_init__()
        check_at_least(0, self, "weight")
        check_at_least(1, self, "samples")
        check_positive(self, "penalty_temperature")
        if self.calibrated and self.discount >= 1:
            raise ValueError(f"discount={self.discount} must be below 1 with calibrated=true")

    @property
    def returns(self) -> bool:
        """Whether batches are `ReturnBatch`es: as `calibrated`."""
        return self.calibrated

    def init(self, key: Array, networks: Networks, batch: Batch, updates: int) -> State:
        """Return fresh networks; targets equal critics."""
        base = super().init(key, networks, batch, updates)
        log_weight = Model.create(Scalar(0.0), Adam(self.critic_learning_rate), key)
        return State(base.actor, base.critics, base.target_critics, base.log_alpha, log_weight)

    def next_value(self, state: sac.State, batch: Batch, key: Array) -> Array:
        """Return SAC's, or by `max_q_backup` min_i max_k Q̄_i(s', a_k), (...)."""
        if not self.max_q_backup:
            return super().next_value(state, batch, key)
        actions = state.actor(batch.next_observation).sample(key, self.samples)
        next_q = self.values(state, batch.next_observation, actions, state.target_critics)
        return next_q.max(axis=1).min(axis=0)

    def values(self, state: sac.State, observation: Observation, actions: Array, params: Any) -> Array:
        """Return Q_i(s, a_k), shape (critics, k, B), for actions (k, B, A)."""
        # Repeated states cost a fraction of the first layer; a batched product would cost a transposed copy.
        count, size = actions.shape[:2]
        repeated = jax.tree.map(
            lambda x: jnp.broadcast_to(x, (count, *x.shape)).reshape(-1, x.shape[-1]), observation
        )
        values = state.critics(repeated, actions.reshape(count * size, -1), params=params)
        return values.reshape(-1, count, size)

    def proposals(self, state: sac.State, batch: Batch, key: Array) -> tuple[Array, Array]:
        """Return the actions a_k, (3n, B, A), and their log-densities, (3n, B)."""
        uniform_key, now_key, next_key = jax.random.split(key, 3)
        shape = (self.samples, *batch.action.shape)
        uniform = jax.random.uniform(uniform_key, shape, minval=-1.0, maxval=1.0)
        uniform_log_prob = jnp.full(shape[:-1], -shape[-1] * math.log(2.0))
        policy, next_policy = state.actor(batch.observation), state.actor(batch.next_observation)
        now, now_log_prob = policy.sample_and_log_prob(now_key, self.samples)
        then, then_log_prob = next_policy.sample_and_log_prob(next_key, self.samples)
        log_prob = jnp.concatenate([uniform_log_prob, now_log_prob, then_log_prob])
        return jnp.concatenate([uniform, now, then]), log_prob

    def gap(self, params: Any, state: sac.State, batch: Any, q: Array, key: Array) -> Array:
        """Return the penalty's bracket, its mean over critics, given Q_i(s, a) of the data, (critics, B)."""
        actions, log_prob = self.proposals(state, batch, key)

        def soft_maximum(params: Any, rows: Any) -> Array:
            observation, actions, log_prob, returns = rows
            values = self.values(state, observation, actions.swapaxes(0, 1), params)
            if self.calibrated:
                uniform, policy = values[:, : self.samples], values[:, self.samples :]
                values = jnp.concatenate([uniform, jnp.maximum(policy, returns)], axis=1)
            values = (values - log_prob.T) / self.penalty_temperature
            return self.penalty_temperature * jax.nn.logsumexp(values, axis=1).mean()

        returns = batch.return_to_go if self.calibrated else ()
        rows = batch.observation, actions.swapaxes(0, 1), log_prob.T, returns
        most = _ROWS_AT_ONCE // len(actions) if jax.default_backend() == "cpu" else log_prob.shape[1]
        blocks = count_blocks(log_prob.shape[1], max(1, most))
        return mean_over_blocks(soft_maximum, params, rows, blocks) - self.data_value(batch, q)

    def data_value(self, batch: Batch, q: Array) -> Array:
        """Return E Q_i(s, a) of the data, its mean over the critics, of values (critics, B)."""
        return q.mean()

    def critic_loss(self, params: Any, state: State, batch: Batch, key: Array) -> tuple[Array, Metrics]:
        """Σ_i L(Q_i) with the penalty."""
        target_key, gap_key = jax.random.split(key)
        target = jax.lax.stop_gradient(self.target(state, batch, target_key))
        q = state.critics(batch.observation, batch.action, params=params)
        td_loss = jnp.mean((target - q) ** 2, axis=-1).sum()
        gap = self.gap(params, state, batch, q, gap_key)
        factor = jnp.exp(state.log_weight()) if self.lagrange else 1.0
        loss = td_loss + self.weight * factor * len(q) * gap
        metrics = {
            "critic_loss": loss,
            "td_loss": td_loss,
            "gap": gap,
            "q": q.mean(),
            "q_max": q.max(),
        }
        return loss, metrics

    def weight_loss(self, params: Any, state: State, gap: Array) -> tuple[Array, Metrics]:
        """L(β), given the mean gap; β = exp of the learned number."""
        factor = jnp.exp(state.log_weight(params=params))
        loss = -factor * (self.weight * gap - self.lagrange_gap)
        return loss, {"lagrange_factor": factor}

    def update(self, state: State, batch: Batch, key: Array) -> tuple[State, Metrics]:  # type: ignore[override]
        """Update Q, π, α and the targets as SAC does, then β."""
        state, metrics = super().update(state, batch, key)  # type: ignore[assignment]
        if not self.lagrange:
            return state, metrics
        log_weight, weight_metrics = state.log_weight.minimize(self.weight_loss, state, metrics["gap"])
        return replace(state, log_weight=log_weight), metrics | weight_metrics
