"""Networks, batches and optimizer steps in eager PyTorch, which `benchmarks.pytorch` builds on."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch  # type: ignore[import-not-found]  # an extra, which a type checker may not find
from torch import nn  # type: ignore[import-not-found]
from torch.nn import functional  # type: ignore[import-not-found]

from cocoa.algos.networks import LOG_STD_BOUNDS


@dataclass(frozen=True)
class Batch:
    """Transitions, as in `cocoa.algos.base.Batch`."""

    observation: Any
    action: Any
    reward: Any
    terminal: Any
    next_observation: Any

    def draw(self, size: int) -> Batch:
        """Return `size` random transitions."""
        rows = torch.randint(len(self.reward), (size,))
        return Batch(**{name: column[rows] for name, column in vars(self).items()})


def mlp(inputs: int, hidden: Iterable[int], outputs: int) -> Any:
    """Return layers with ReLU between them."""
    widths = [inputs, *hidden]
    layers: list[Any] = []
    for before, after in itertools.pairwise(widths):
        layers += [nn.Linear(before, after), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers, nn.Linear(widths[-1], outputs))


class Critics(nn.Module):
    """Two independent action values, (2, ...)."""

    def __init__(self, inputs: int, hidden: Iterable[int]):
        super().__init__()
        self.each = nn.ModuleList([mlp(inputs, hidden, 1) for _ in range(2)])

    def forward(self, observation: Any, action: Any) -> Any:
        inputs = torch.cat([observation, action], dim=-1)
        return torch.stack([critic(inputs).squeeze(-1) for critic in self.each])

    def first(self, observation: Any, action: Any) -> Any:
        return self.each[0](torch.cat([observation, action], dim=-1)).squeeze(-1)


class CriticEnsemble(nn.Module):
    """N independent action values, (N, ...), whose layers are batched products of matrices."""

    def __init__(self, inputs: int, hidden: Iterable[int], count: int):
        super().__init__()
        self.count, self.weights_and_biases = count, nn.ParameterList()
        for before, after in itertools.pairwise([inputs, *hidden, 1]):
            bound = 1 / math.sqrt(before)
            for rows in (before, 1):
                self.weights_and_biases.append(torch.empty(count, rows, after).uniform_(-bound, bound))

    def forward(self, observation: Any, action: Any) -> Any:
        """`action` is one for all critics, (B, A), or one for each, (N, B, A)."""
        inputs = torch.cat([observation.expand(*action.shape[:-1], -1), action], dim=-1)
        x = inputs.expand(self.count, -1, -1)
        *hidden, last = zip(self.weights_and_biases[::2], self.weights_and_biases[1::2], strict=True)
        for weight, bias in hidden:
            x = torch.baddbmm(bias, x, weight).relu_()
        weight, bias = last
        return torch.baddbmm(bias, x, weight).squeeze(-1)


class GaussianPolicy(nn.Module):
    """Mean in (-1, 1), and a log standard deviation that does not depend on the state."""

    def __init__(self, inputs: int, hidden: Iterable[int], action_dim: int):
        super().__init__()
        self.mean = mlp(inputs, hidden, action_dim)
        self.log_std = nn.Parameter(torch.zeros(action_dim))

    def forward(self, observation: Any) -> tuple[Any, Any]:
        return torch.tanh(self.mean(observation)), self.log_std.clamp(*LOG_STD_BOUNDS)


class SquashedGaussianPolicy(nn.Module):
    """Mean and log standard deviation before the tanh, out of one layer."""

    def __init__(self, inputs: int, hidden: Iterable[int], action_dim: int):
        super().__init__()
        self.both = mlp(inputs, hidden, 2 * action_dim)

    def forward(self, observation: Any) -> tuple[Any, Any]:
        mean, log_std = self.both(observation).chunk(2, dim=-1)
        return mean, log_std.clamp(*LOG_STD_BOUNDS)


def gaussian_log_prob(mean: Any, log_std: Any, action: Any) -> Any:
    z = (action - mean) * torch.exp(-log_std)
    return -0.5 * (z.square() + 2 * log_std + math.log(2 * math.pi)).sum(-1)


def squashed(distribution: tuple[Any, Any], noise: Any) -> tuple[Any, Any]:
    """Return tanh(mean + std noise) and its log-density."""
    mean, log_std = distribution
    u = mean + log_std.exp() * noise
    squash = 2 * (math.log(2) - u - functional.softplus(-2 * u)).sum(-1)
    return torch.tanh(u), gaussian_log_prob(mean, log_std, u) - squash


def adam(parameters: Iterable[Any], learning_rate: float) -> Any:
    return torch.optim.Adam(parameters, learning_rate, fused=True)


def minimize(loss: Any, optimizer: Any) -> None:
    """Take a step; gradients of other networks in the graph are not computed."""
    optimizer.zero_grad(set_to_none=True)
    loss.backward(inputs=optimizer.param_groups[0]["params"])
    optimizer.step()


def target_of(network: Any) -> Any:
    return copy.deepcopy(network).requires_grad_(False)


@torch.no_grad()
def polyak(target: Any, online: Any, rate: float) -> None:
    torch._foreach_lerp_(  # type: ignore[attr-defined]  # not exported, and what torch.optim.swa_utils uses
        list(target.parameters()), list(online.parameters()), rate
    )
