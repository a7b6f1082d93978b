"""Lower expectile Q-learning (Park, Lee; ICLR 2025; arXiv 2407.00699): λ-returns of model rollouts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import struct

from cocoa.algos.base import (
    Array,
    Batch,
    Metrics,
    Observation,
    check_at_least,
    check_positive,
    register,
)
from cocoa.algos.networks import Adam, Gaussian, Model, Networks, SquashedGaussian, polyak
from cocoa.algos.networks.symlog import Squeezed
from cocoa.algos.rollouts import ModelBased
from cocoa.algos.td import TDLearning
from cocoa.algos.trajectories import Imagination, ImaginingBatch, Trajectories, imagine, slope_weights

_LARGEST = 1 - 1e-6  # of an action, in size: nearer to 1 float32 has no arctanh
_SMALLEST = 1e-25  # weight of the last step: slopes are divided by it, and below 1e-38 float32 has 0


@struct.dataclass
class State:
    """What LEQ learns."""

    actor: Model
    critics: Model
    target_critics: Any


@register("leq")
@dataclass(frozen=True)
class LEQ(ModelBased, TDLearning):
    """LEQ: critics and a deterministic policy learn from λ-returns of the policy's own rollouts in a model.

    No uncertainty is penalised: of returns above and below a value, those below weigh more, |τ - 1(Q^λ > Q)|
    with τ < 1/2. Rollouts of H steps start where others, of a noisy policy, have been from states of the
    data. With w_t = 1 + λ w_{t+1}, w_H = 1 and Q = min_i Q_i, the λ-return of step t is the mean of its
    n-step returns, n = 0, ..., H - t, with weights λⁿ:

        Q^λ_t = (Q(s_t, a_t) + λ w_{t+1} (r_t + γ (1 - terminal_t) Q^λ_{t+1})) / w_t,   Q^λ_H = Q(s_H, a_H)

    With d = γᵗ as long as the rollout goes on and 0 behind its end, β = 1 - `real_ratio`, data transitions
    (s, a, r, s') and Q̄ a moving average of Q, one update minimises

        L(Q_i) = (1 - β) (½ E (r + γ (1 - terminal) Q(s', π(s')) - Q_i(s, a))² + E (Q̄_i(s, a) - Q_i(s, a))²)
               + β E d (|τ - 1(Q^λ_t < Q_i)| (Q^λ_t - Q_i(s_t, a_t))² + (Q̄_i(s_t, a_t) - Q_i(s_t, a_t))²)
        L(π)   = -E Σ_t |τ - 1(Q^λ_t < Q(s_t, a_t))| <∂Q^λ_t / ∂a_t, π(s_t)>

    No gradient passes through Q^λ_t and its derivative; the weight of the last step, where nothing is above
    or below, is ½. Inputs of networks are squeezed by symlog.

    As in the authors' code, but for: its policy learns from what lies behind the end of a rollout, too; its
    rollouts of the noisy policy go on behind a terminal; it draws other rollouts for the policy than for the
    critic; its critic standardises actions before symlog; its LayerNorm is before the activation. There is
    one critic in the paper.
    """

    toy_fields: ClassVar[Mapping[str, Any]] = {
        **{"return_length": 3, "real_ratio": 0.5, "target_rate": 0.05, "cosine_schedule": False},
        **{"actor_learning_rate": 3e-3, "critic_learning_rate": 3e-3},
    }

    discount: float = 0.997
    """Discount per step, γ."""
    hidden: tuple[int, ...] = (256, 256, 256)
    """Widths of the hidden layers of actor and critics, behind the encoder."""
    critics: int = 1
    """Number of critics, of which the lowest value counts."""
    expectile: float = 0.1
    """τ: the lower, the more returns below the value weigh."""
    return_length: int = 10
    """H: steps of the rollouts from which values and policy learn."""
    return_decay: float = 0.95
    """λ: weight of an n-step return as against one that is a step shorter."""
    real_ratio: float = 0.75
    """1 - β: weight of the data in the critics' loss; that of rollouts is the rest."""
    exploration: float = 1.0
    """Deviation of the noise before the policy's tanh, in the rollouts where others start, and online."""
    actor_learning_rate: float = 3e-5
    """Adam's step size of the policy."""
    critic_learning_rate: float = 1e-4
    """Adam's step size of the critics."""
    cosine_schedule: bool = True
    """Let the policy's step size decay to zero over the training."""

    def __post_init__(self) -> None:
        """Raise ValueError for a value that is out of range."""
        super().__post_init__()
        check_at_least(1, self, "return_length")
        check_positive(self, "expectile", "return_decay", most=1)
        check_positive(self, "exploration", "actor_learning_rate", "critic_learning_rate")
        if slope_weights(self.return_length, self.discount, self.return_decay)[-1] < _SMALLEST:
            raise ValueError(
                f"return_decay={self.return_decay} is so small that the last of return_length="
                f"{self.return_length} steps weigh nothing: raise it, or take fewer steps"
            )

    @property
    def source(self) -> Imagination:
        """Data, and states of the policy's rollouts."""
        return Imagination(**vars(super().source))

    def init(self, key: Array, networks: Networks, batch: Batch, updates: int) -> State:
        """Return fresh networks; targets equal critics."""
        networks = replace(networks, encoder=Squeezed(networks.encoder))
        actor_key, critics_key = jax.random.split(key)
        optimizer = Adam(self.actor_learning_rate, updates if self.cosine_schedule else None)
        actor = Model.create(networks.deterministic_policy(), optimizer, actor_key, batch.observation)
        values, optimizer = networks.critics(self.critics, layer_norm=True), Adam(self.critic_learning_rate)
        critics = Model.create(values, optimizer, critics_key, batch.observation, batch.action)
        return State(actor, critics, critics.params)

    def next_value(self, state: State, batch: Batch, key: Array) -> Array:
        """Return Q(s', π(s')), (...)."""
        return self.action_value(state, batch.next_observation, state.actor(batch.next_observation))

    def critic_loss(
        self, params: Any, state: State, batch: Batch, paths: Trajectories, key: Array
    ) -> tuple[Array, Metrics]:
        """Σ_i L(Q_i)."""
        target = jax.lax.stop_gradient(self.target(state, batch, key))
        q, old = self._both(params, state, batch.observation, batch.action)
        td_loss, data_drift = 0.5 * jnp.mean((target - q) ** 2), jnp.mean((old - q) ** 2)

        steps: Trajectories = jax.tree.map(lambda x: x[:-1], paths)
        q_path, old = self._both(params, state, steps.observation, steps.action)
        weight = self.discount ** jnp.arange(self.return_length)[:, None] * steps.going
        share = self._weight(steps.returns, q_path)
        path_loss = jnp.mean(weight * share * (steps.returns - q_path) ** 2)
        path_drift = jnp.mean(weight * (old - q_path) ** 2)

        data = self.real_ratio
        loss = len(q) * (data * (td_loss + data_drift) + (1 - data) * (path_loss + path_drift))
        return loss, {"critic_loss": loss, "td_loss": td_loss, "path_loss": path_loss, "q": q.mean()}

    def actor_loss(self, params: Any, state: State, paths: Trajectories) -> tuple[Array, Metrics]:
        """L(π)."""
        action = state.actor(paths.observation, params=params)
        weight = self._weight(paths.returns, paths.value).at[-1].set(0.5)
        loss = -jnp.mean(jnp.sum(weight * jnp.sum(paths.slope * action, axis=-1), axis=0))
        going = paths.going.sum()
        metrics = {
            "actor_loss": loss,
            "lambda_return": jnp.sum(jnp.where(paths.going, paths.returns, 0)) / going,
            "path_steps": going / paths.going.shape[1] - 1,
        }
        return loss, metrics

    def update(self, state: State, batch: Any, key: Array) -> tuple[State, Metrics]:
        """Imagine rollouts, and update Q and π on the same ones, then Q̄."""
        imagine_key, key = jax.random.split(key)
        paths = self.imagine(state, batch, imagine_key)
        critics, critic_metrics = state.critics.minimize(self.critic_loss, state, batch, paths, key)
        actor, actor_metrics = state.actor.minimize(self.actor_loss, state, paths)
        target_critics = polyak(state.target_critics, critics.params, self.target_rate)
        return State(actor, critics, target_critics), critic_metrics | actor_metrics

    def imagine(self, state: State, batch: ImaginingBatch, key: Array) -> Trajectories:
        """Return the policy's rollouts of H steps."""
        settings = self.return_length, self.discount, self.return_decay
        critic = partial(self.action_value, state)
        return imagine(state.actor, critic, batch.starts, batch.world, key, *settings)

    def _both(self, params: Any, state: State, *inputs: Any) -> tuple[Array, Array]:
        """Return Q_i and Q̄_i (critics, ...) of observations and actions."""
        old = state.critics(*inputs, params=state.target_critics)
        return state.critics(*inputs, params=params), jax.lax.stop_gradient(old)

    def _weight(self, returns: Array, value: Array) -> Array:
        """Return |τ - 1(Q^λ < Q)|, (...)."""
        return jnp.where(returns > value, self.expectile, 1 - self.expectile)

    def held_out(self, state: State, batch: Any, key: Array) -> Metrics:
        """Return the metrics of all losses, with rollouts from the states of the batch."""
        return super().held_out(state, batch.replace(starts=batch.observation), key)

    def act(self, state: State, observation: Observation, key: Array | None = None) -> Array:
        """Return the policy's action, or with `key` tanh(artanh π(s) + N(0, σ²))."""
        action = state.actor(observation)
        if key is None:
            return action
        before = jnp.arctanh(jnp.clip(action, -_LARGEST, _LARGEST))
        return SquashedGaussian(Gaussian(before, jnp.log(jnp.float32(self.exploration)))).act(key)
