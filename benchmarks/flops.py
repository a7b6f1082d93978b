"""Floating-point operations that an update needs, counted from the sizes of its layers.

Only matrix products count, 2 B d h for B rows through a layer from d to h. Everything else of an update
(biases, activations, losses, Adam) grows with parameters and activations: about a hundredth of it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

from algos.base import Algorithm
from algos.combo import COMBO
from algos.cql import CQL
from algos.mobile import MOBILE
from algos.rollouts import ModelBased
from algos.sac import SAC
from cocoa.config import CocoaConfig
from dynamics.config import EnsembleConfig

Layers = list[tuple[int, int]]


@dataclass(frozen=True)
class Net:
    """A network: its first layers, which see data, and the layers behind them, each (inputs, outputs)."""

    first: Layers
    behind: Layers

    @property
    def forward(self) -> int:
        """FLOPs of a row's way through it."""
        return 2 * sum(d * h for d, h in self.first + self.behind)

    @property
    def training(self) -> int:
        """The same with the gradient of the parameters, for which the data need no gradient."""
        return 2 * self.forward + 2 * sum(d * h for d, h in self.behind)

    def through(self, actions: int) -> int:
        """The same with the gradient of the last `actions` inputs alone, the parameters being fixed."""
        behind = 2 * sum(d * h for d, h in self.behind)
        return self.forward + behind + 2 * sum(actions * h for _, h in self.first)


def chain(widths: tuple[int, ...]) -> Layers:
    """Return the layers between widths."""
    return list(itertools.pairwise(widths))


def net(algorithm: Algorithm, cocoa: CocoaConfig | None, state: int, action: int, outputs: int) -> Net:
    """Return a network of an algorithm on a state and an action (0: none) with so many outputs."""
    if cocoa is None:
        first, *behind = chain((state + action, *algorithm.hidden, outputs))
        return Net([first], behind)
    factor = (state + action, *cocoa.encoder_hidden, cocoa.embedding * cocoa.encoder_hidden[-1])
    first, *inner = chain(factor)
    backbone = chain((cocoa.encoder_hidden[-1], *cocoa.hidden, outputs))
    return Net([first] * 2, inner * 2 + backbone)


@dataclass(frozen=True)
class Sizes:
    """What an update's cost depends on, beside the algorithm and its encoder."""

    state: int = 17
    action: int = 6
    batch: int = 256
    dynamics: EnsembleConfig = field(default_factory=EnsembleConfig)

    @property
    def model(self) -> int:
        """FLOPs of a row through all elite members."""
        ends = self.state + self.action, 2 * (self.state + 1)
        widths = (ends[0], *self.dynamics.hidden, ends[1])
        return self.dynamics.elites * 2 * sum(d * h for d, h in chain(widths))

    def anchor(self, cocoa: CocoaConfig | None) -> int:
        """FLOPs of a row's anchor by the seeker and the model, none in a plain run."""
        if cocoa is None or cocoa.variant != "seek":
            return 0
        seeker = chain((self.state, *cocoa.seeker.hidden, self.action))
        return cocoa.horizon * (self.model + 2 * sum(d * h for d, h in seeker))


def needed(algorithm: Algorithm, cocoa: CocoaConfig | None, sizes: Sizes) -> float:
    """Return the FLOPs of an update, with a model-based algorithm's share of a round of rollouts.

    Raises KeyError for an algorithm whose passes are not listed here.
    """
    gaussian = isinstance(algorithm, SAC)
    actor = net(algorithm, cocoa, sizes.state, 0, (2 if gaussian else 1) * sizes.action)
    critic = net(algorithm, cocoa, sizes.state, sizes.action, 1)
    value = net(algorithm, cocoa, sizes.state, 0, 1)
    rows = PASSES[algorithm.name](algorithm, actor, critic, value, sizes.action)
    total = sizes.batch * rows
    if isinstance(algorithm, ModelBased):
        steps = algorithm.rollout_starts * algorithm.rollout_length / algorithm.rollout_every
        total += steps * (actor.forward + sizes.model + sizes.anchor(cocoa))
    if isinstance(algorithm, MOBILE):
        imagined = sizes.batch - round(sizes.batch * algorithm.real_ratio)
        draws = algorithm.samples * sizes.dynamics.elites
        each = actor.forward + 2 * critic.forward + sizes.anchor(cocoa)
        total += imagined * (sizes.model + draws * each)
    return total


def _bc(algorithm: Algorithm, actor: Net, critic: Net, value: Net, action: int) -> float:
    return actor.training


def _iql(algorithm: Algorithm, actor: Net, critic: Net, value: Net, action: int) -> float:
    # V(s) twice, before and after its step, and V(s'); Q̄ once.
    return value.training + 2 * value.forward + actor.training + 2 * (critic.forward + critic.training)


def _td3_bc(algorithm: Algorithm, actor: Net, critic: Net, value: Net, action: int) -> float:
    critics = actor.forward + 2 * (critic.forward + critic.training)
    return critics + (actor.training + critic.through(action)) / algorithm.policy_delay  # type: ignore[attr-defined]


def _sac(algorithm: Algorithm, actor: Net, critic: Net, value: Net, action: int) -> float:
    critics = actor.forward + 2 * (critic.forward + critic.training)
    return critics + actor.training + 2 * critic.through(action)


def _cql(algorithm: Algorithm, actor: Net, critic: Net, value: Net, action: int) -> float:
    # The policy in s of the proposals; in s' it is known from the target.
    assert isinstance(algorithm, CQL)
    return (
        _sac(algorithm, actor, critic, value, action)
        + actor.forward
        + 6 * algorithm.samples * critic.training
    )


PASSES: dict[str, Callable[[Algorithm, Net, Net, Net, int], float]] = {
    "bc": _bc,
    "iql": _iql,
    "td3_bc": _td3_bc,
    "sac": _sac,
    "cql": _cql,
    "mopo": _sac,
    "mobile": _sac,
    COMBO.name: _cql,
}
"""FLOPs per row of a batch."""
