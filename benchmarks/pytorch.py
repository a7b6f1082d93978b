"""IQL, TD3+BC, CQL, SAC-N and EDAC in PyTorch: what ours are measured against.

Written for speed as far as eager PyTorch goes: fused Adam, targets moved in place by one call, no gradient
that is not used, no number read back, nothing computed that is only for a log, and a pass through a network
shared where two losses need the same one. Settings are those of our dataclasses; of CQL's, the default
switches alone are known here. An update is a function of its batch and its noise, so that a test can hand the
same of both to PyTorch and JAX.
"""

from __future__ import annotations

import math
from typing import Any

import torch  # type: ignore[import-not-found]  # an extra, which a type checker may not find
from torch import nn  # type: ignore[import-not-found]
from torch.nn import functional  # type: ignore[import-not-found]

from benchmarks.pytorch_networks import (
    Batch,
    CriticEnsemble,
    Critics,
    GaussianPolicy,
    SquashedGaussianPolicy,
    adam,
    gaussian_log_prob,
    minimize,
    mlp,
    polyak,
    squashed,
    target_of,
)
from cocoa.algos.cql import CQL
from cocoa.algos.edac import EDAC
from cocoa.algos.iql import IQL
from cocoa.algos.td3_bc import TD3BC


class IQLInPyTorch:
    """`cocoa.algos.iql`."""

    def __init__(self, algorithm: IQL, observation_dim: int, action_dim: int, updates: int):
        self.algorithm, hidden = algorithm, algorithm.hidden
        self.actor = GaussianPolicy(observation_dim, hidden, action_dim)
        self.critics = Critics(observation_dim + action_dim, hidden)
        self.value = mlp(observation_dim, hidden, 1)
        self.target_critics = target_of(self.critics)
        networks = self.actor, self.critics, self.value
        optimizers = (adam(network.parameters(), algorithm.learning_rate) for network in networks)
        self.actor_optimizer, self.critics_optimizer, self.value_optimizer = optimizers
        self.schedule = torch.optim.lr_scheduler.CosineAnnealingLR(self.actor_optimizer, updates)

    def noise(self, batch: Batch) -> tuple[Any, ...]:
        return ()

    def update(self, batch: Batch) -> None:
        algorithm = self.algorithm
        with torch.no_grad():
            target_q = self.target_critics(batch.observation, batch.action).amin(0)
        difference = target_q - self.value(batch.observation).squeeze(-1)
        weight = torch.where(difference < 0, 1 - algorithm.expectile, algorithm.expectile)
        minimize((weight * difference.square()).mean(), self.value_optimizer)
        with torch.no_grad():
            advantage = target_q - self.value(batch.observation).squeeze(-1)
            weight = torch.exp(algorithm.temperature * advantage).clamp(max=algorithm.advantage_clip)
            next_value = self.value(batch.next_observation).squeeze(-1)
            target = batch.reward + algorithm.discount * (1 - batch.terminal) * next_value
        mean, log_std = self.actor(batch.observation)
        log_prob = gaussian_log_prob(mean, log_std, batch.action)
        minimize(-(weight * log_prob).mean(), self.actor_optimizer)
        if algorithm.cosine_schedule:
            self.schedule.step()
        q = self.critics(batch.observation, batch.action)
        minimize((target - q).square().mean(-1).sum(), self.critics_optimizer)
        polyak(self.target_critics, self.critics, algorithm.target_rate)


class TD3BCInPyTorch:
    """`algos.td3_bc`."""

    def __init__(self, algorithm: TD3BC, observation_dim: int, action_dim: int, updates: int):
        self.algorithm, hidden = algorithm, algorithm.hidden
        self.actor = nn.Sequential(*mlp(observation_dim, hidden, action_dim), nn.Tanh())
        self.critics = Critics(observation_dim + action_dim, hidden)
        self.target_actor, self.target_critics = target_of(self.actor), target_of(self.critics)
        self.actor_optimizer = adam(self.actor.parameters(), algorithm.actor_learning_rate)
        self.critics_optimizer = adam(self.critics.parameters(), algorithm.critic_learning_rate)
        self.step = 0

    def noise(self, batch: Batch) -> tuple[Any, ...]:
        return (torch.randn_like(batch.action),)

    def update(self, batch: Batch, noise: Any) -> None:
        algorithm, bound = self.algorithm, self.algorithm.noise_clip
        with torch.no_grad():
            noise = (algorithm.policy_noise * noise).clamp(-bound, bound)
            next_action = (self.target_actor(batch.next_observation) + noise).clamp(-1, 1)
            next_q = self.target_critics(batch.next_observation, next_action).amin(0)
            target = batch.reward + algorithm.discount * (1 - batch.terminal) * next_q
        q = self.critics(batch.observation, batch.action)
        minimize((target - q).square().mean(-1).sum(), self.critics_optimizer)
        self.step += 1
        if self.step % algorithm.policy_delay == 0:
            self.update_policy(batch)

    def update_policy(self, batch: Batch) -> None:
        action = self.actor(batch.observation)
        q = self.critics.first(batch.observation, action)
        weight = self.algorithm.alpha / q.detach().abs().mean()
        minimize(functional.mse_loss(action, batch.action) - weight * q.mean(), self.actor_optimizer)
        polyak(self.target_actor, self.actor, self.algorithm.target_rate)
        polyak(self.target_critics, self.critics, self.algorithm.target_rate)


class CQLInPyTorch:
    """`cocoa.algos.cql`."""

    def __init__(self, algorithm: CQL, observation_dim: int, action_dim: int, updates: int):
        self.algorithm, hidden = algorithm, algorithm.hidden
        self.actor = SquashedGaussianPolicy(observation_dim, hidden, action_dim)
        self.critics = Critics(observation_dim + action_dim, hidden)
        self.target_critics = target_of(self.critics)
        self.log_alpha = nn.Parameter(torch.tensor(math.log(algorithm.initial_alpha)))
        self.actor_optimizer = adam(self.actor.parameters(), algorithm.actor_learning_rate)
        self.critics_optimizer = adam(self.critics.parameters(), algorithm.critic_learning_rate)
        self.alpha_optimizer = adam([self.log_alpha], algorithm.actor_learning_rate)

    def noise(self, batch: Batch) -> tuple[Any, ...]:
        shape = (self.algorithm.samples, *batch.action.shape)
        uniform = torch.empty(shape).uniform_(-1, 1)
        one, many = torch.randn_like, torch.randn
        return one(batch.action), uniform, many(shape), many(shape), one(batch.action)

    def update(self, batch: Batch, target: Any, uniform: Any, now: Any, then: Any, policy: Any) -> None:
        """`uniform` are actions; the others are standard normal noise of those that their names tell."""
        distribution = self.actor(batch.observation)
        minimize(self.critic_loss(batch, distribution, target, uniform, now, then), self.critics_optimizer)
        action, log_prob = squashed(distribution, policy)
        q = self.critics(batch.observation, action).amin(0)
        minimize((self.log_alpha.detach().exp() * log_prob - q).mean(), self.actor_optimizer)
        wanted = self.algorithm.target_entropy_per_dimension * action.shape[-1]
        minimize(-self.log_alpha * (log_prob.detach().mean() + wanted), self.alpha_optimizer)
        polyak(self.target_critics, self.critics, self.algorithm.target_rate)

    def critic_loss(
        self,
        batch: Batch,
        distribution: tuple[Any, Any],
        target_noise: Any,
        uniform: Any,
        now: Any,
        then: Any,
    ) -> Any:
        algorithm = self.algorithm
        with torch.no_grad():
            next_distribution = self.actor(batch.next_observation)
            next_action, _ = squashed(next_distribution, target_noise)
            next_q = self.target_critics(batch.next_observation, next_action).amin(0)
            target = batch.reward + algorithm.discount * (1 - batch.terminal) * next_q
            proposals = squashed(distribution, now), squashed(next_distribution, then)
            uniform_log_prob = torch.full(uniform.shape[:-1], -uniform.shape[-1] * math.log(2))
            actions = torch.cat([uniform, *(action for action, _ in proposals)])
            log_prob = torch.cat([uniform_log_prob, *(density for _, density in proposals)])
            states = batch.observation.expand(len(actions), -1, -1)
        q = self.critics(batch.observation, batch.action)
        temperature = algorithm.penalty_temperature
        values = (self.critics(states, actions) - log_prob) / temperature
        gaps = temperature * values.logsumexp(dim=1).mean(-1) - q.mean(-1)
        return (target - q).square().mean(-1).sum() + algorithm.weight * gaps.sum()


class EDACInPyTorch:
    """`cocoa.algos.edac`, which is SAC-N without diversity."""

    def __init__(self, algorithm: EDAC, observation_dim: int, action_dim: int, updates: int):
        self.algorithm, hidden = algorithm, algorithm.hidden
        self.actor = SquashedGaussianPolicy(observation_dim, hidden, action_dim)
        self.critics = CriticEnsemble(observation_dim + action_dim, hidden, algorithm.critics)
        self.target_critics = target_of(self.critics)
        self.log_alpha = nn.Parameter(torch.tensor(math.log(algorithm.initial_alpha)))
        self.actor_optimizer = adam(self.actor.parameters(), algorithm.actor_learning_rate)
        self.critics_optimizer = adam(self.critics.parameters(), algorithm.critic_learning_rate)
        self.alpha_optimizer = adam([self.log_alpha], algorithm.actor_learning_rate)

    def noise(self, batch: Batch) -> tuple[Any, ...]:
        return torch.randn_like(batch.action), torch.randn_like(batch.action)

    def update(self, batch: Batch, target: Any, policy: Any) -> None:
        """`target` and `policy` are standard normal noise of the actions that their names tell."""
        minimize(self.critic_loss(batch, target), self.critics_optimizer)
        action, log_prob = squashed(self.actor(batch.observation), policy)
        q = self.critics(batch.observation, action).amin(0)
        minimize((self.log_alpha.detach().exp() * log_prob - q).mean(), self.actor_optimizer)
        wanted = self.algorithm.target_entropy_per_dimension * action.shape[-1]
        minimize(-self.log_alpha * (log_prob.detach().mean() + wanted), self.alpha_optimizer)
        polyak(self.target_critics, self.critics, self.algorithm.target_rate)

    def critic_loss(self, batch: Batch, noise: Any) -> Any:
        algorithm, diverse = self.algorithm, self.algorithm.diversity_weight > 0
        with torch.no_grad():
            next_action, log_prob = squashed(self.actor(batch.next_observation), noise)
            next_q = self.target_critics(batch.next_observation, next_action).amin(0)
            next_q -= self.log_alpha.exp() * log_prob
            target = batch.reward + algorithm.discount * (1 - batch.terminal) * next_q
        action = batch.action.repeat(algorithm.critics, 1, 1).requires_grad_() if diverse else batch.action
        q = self.critics(batch.observation, action)
        loss = (target - q).square().mean(-1).sum()
        if not diverse:
            return loss
        (slopes,) = torch.autograd.grad(q.sum(), action, create_graph=True)
        directions = slopes / (slopes.norm(dim=-1, keepdim=True) + 1e-10)
        products = (directions.sum(0).square() - directions.square().sum(0)).sum(-1)
        return loss + algorithm.diversity_weight / (algorithm.critics - 1) * products.mean()


IN_PYTORCH: dict[type, Any] = {
    IQL: IQLInPyTorch,
    TD3BC: TD3BCInPyTorch,
    CQL: CQLInPyTorch,
    EDAC: EDACInPyTorch,
}
"""The counterparts of our algorithms."""
