"""The matrix products that an update needs, counted from the sizes of its layers.

Nothing else of an update counts (biases, activations, losses, Adam): it grows with parameters and
activations, and is about a hundredth of the operations.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from math import prod

from cocoa.algos.base import Algorithm
from cocoa.algos.combo import COMBO
from cocoa.algos.cql import CQL
from cocoa.algos.edac import EDAC
from cocoa.algos.mobile import MOBILE
from cocoa.algos.rollouts import ModelBased
from cocoa.algos.sac import SAC
from cocoa.anchors import Seek
from cocoa.dynamics.config import EnsembleConfig

MANY = 1024
"""Rows that go through a network at once where there are more than a batch."""

Layers = list[tuple[int, int]]


@dataclass(frozen=True)
class Product:
    """A matrix product: the shapes of the two matrices, and the axis of each that is summed over."""

    left: tuple[int, int]
    right: tuple[int, int]
    axes: tuple[int, int]

    @property
    def flops(self) -> int:
        """A multiplication and an addition for each term of each sum."""
        return 2 * prod(self.left) * self.right[1 - self.axes[1]]


@dataclass(frozen=True)
class Products:
    """Products with their counts; `factor * products` multiplies the counts."""

    counts: Mapping[Product, float]

    def __add__(self, other: Products) -> Products:
        """Add the counts."""
        total = Counter(self.counts)
        total.update(other.counts)  # type: ignore[arg-type]  # counts need not be whole
        return Products(total)

    def __rmul__(self, factor: float) -> Products:
        """Multiply the counts by `factor`."""
        return Products({product: factor * count for product, count in self.counts.items()})

    @property
    def flops(self) -> float:
        """Operations of all products."""
        return sum(count * product.flops for product, count in self.counts.items())


def _one_each(products: list[Product]) -> Products:
    return Products(Counter(products))


@dataclass(frozen=True)
class Net:
    """A network with `rows` input rows: its first layers, which see data, and the layers behind them.

    A layer is (inputs, outputs).
    """

    first: Layers
    behind: Layers
    rows: int

    @property
    def forward(self) -> Products:
        """The forward pass."""
        return _one_each([Product((self.rows, d), (d, h), (1, 0)) for d, h in self.first + self.behind])

    @property
    def training(self) -> Products:
        """The forward pass and the gradient of the parameters; the data need no gradient."""
        weights = [Product((self.rows, d), (self.rows, h), (0, 0)) for d, h in self.first + self.behind]
        return self.forward + _one_each(weights) + self._back(self.behind)

    def through(self, actions: int) -> Products:
        """The forward pass and the gradient of the last `actions` inputs, with fixed parameters."""
        return self.forward + self._back(self.behind + [(actions, h) for _, h in self.first])

    def slope_training(self, actions: int) -> Products:
        """The gradient of the last `actions` inputs, and that of the parameters through it.

        Of a network whose units are linear in pieces (ReLU), where nothing passes back to the forward pass.
        """
        layers = [(actions, h) for _, h in self.first] + self.behind
        return self._back(layers) + Net(layers, [], self.rows).training

    def _back(self, layers: Layers) -> Products:
        """The gradients of layers' inputs."""
        return _one_each([Product((self.rows, h), (d, h), (1, 1)) for d, h in layers])


def chain(*widths: int) -> Layers:
    """Return the layers between widths."""
    return list(itertools.pairwise(widths))


def net(algorithm: Algorithm, cocoa: Seek | None, rows: int, state: int, action: int, outputs: int) -> Net:
    """Return a network of an algorithm on a state and an action (0: none) with `outputs` outputs."""
    if cocoa is None:
        first, *behind = chain(state + action, *algorithm.hidden, outputs)
        return Net([first], behind, rows)
    first, *inner = chain(state + action, *cocoa.encoder_hidden, cocoa.embedding * cocoa.encoder_hidden[-1])
    backbone = chain(cocoa.encoder_hidden[-1], *cocoa.hidden, outputs)
    return Net([first] * 2, inner * 2 + backbone, rows)


@dataclass(frozen=True)
class Sizes:
    """What an update's cost depends on, beside the algorithm and its encoder."""

    state: int = 17
    action: int = 6
    batch: int = 256
    dynamics: EnsembleConfig = field(default_factory=EnsembleConfig)

    @property
    def model(self) -> Products:
        """MANY rows' way through all elite members, to means and variances."""
        return self._elites(2 * (self.state + 1))

    def _elites(self, outputs: int) -> Products:
        layers = chain(self.state + self.action, *self.dynamics.hidden, outputs)
        return self.dynamics.elites * Net([], layers, MANY).forward

    def anchor(self, cocoa: Seek | None) -> Products:
        """MANY rows' anchors by the seeker and the model's means, none in a plain run."""
        if cocoa is None:
            return Products({})
        seeker = chain(self.state, *cocoa.seeker.hidden, self.action)
        return cocoa.horizon * (self._elites(self.state + 1) + Net([], seeker, MANY).forward)


def needed(algorithm: Algorithm, cocoa: Seek | None, sizes: Sizes) -> Products:
    """Return the products of an update, with a model-based algorithm's share of a round of rollouts.

    Raises KeyError for an algorithm whose passes are not listed here.
    """
    gaussian = isinstance(algorithm, SAC)
    given = algorithm, cocoa, sizes.batch, sizes.state
    actor = net(*given, 0, (2 if gaussian else 1) * sizes.action)
    critic, value = net(*given, sizes.action, 1), net(*given, 0, 1)
    total = PASSES[algorithm.name](algorithm, actor, critic, value, sizes.action)
    acting = replace(actor, rows=MANY).forward
    if isinstance(algorithm, ModelBased):
        steps = algorithm.rollout_starts * algorithm.rollout_length / algorithm.rollout_every
        total += (steps / MANY) * (acting + sizes.model + sizes.anchor(cocoa))
    if isinstance(algorithm, MOBILE):
        imagined = sizes.batch - round(sizes.batch * algorithm.real_ratio)
        draws = algorithm.samples * sizes.dynamics.elites
        each = acting + 2 * replace(critic, rows=MANY).forward + sizes.anchor(cocoa)
        total += (imagined / MANY) * (sizes.model + draws * each)
    return total


def _bc(algorithm: Algorithm, actor: Net, critic: Net, value: Net, action: int) -> Products:
    return actor.training


def _iql(algorithm: Algorithm, actor: Net, critic: Net, value: Net, action: int) -> Products:
    # V(s) twice, before and after its step, and V(s'); Q̄ once.
    return value.training + 2 * value.forward + actor.training + 2 * (critic.forward + critic.training)


def _awac(algorithm: Algorithm, actor: Net, critic: Net, value: Net, action: int) -> Products:
    # Q̄(s', ã'), and of the new critics Q(s, a) and Q(s, ã); the policy in s for ã and for its loss at once.
    return actor.forward + actor.training + 2 * (3 * critic.forward + critic.training)


def _td3_bc(algorithm: Algorithm, actor: Net, critic: Net, value: Net, action: int) -> Products:
    critics = actor.forward + 2 * (critic.forward + critic.training)
    share = 1 / algorithm.policy_delay  # type: ignore[attr-defined]
    return critics + share * (actor.training + critic.through(action))


def _sac(algorithm: Algorithm, actor: Net, critic: Net, value: Net, action: int) -> Products:
    assert isinstance(algorithm, SAC)
    each = critic.forward + critic.training + critic.through(action)
    return actor.forward + actor.training + algorithm.critics * each


def _edac(algorithm: Algorithm, actor: Net, critic: Net, value: Net, action: int) -> Products:
    assert isinstance(algorithm, EDAC)
    total = _sac(algorithm, actor, critic, value, action)
    if algorithm.diversity_weight:
        total += algorithm.critics * critic.slope_training(action)
    return total


def _cql(algorithm: Algorithm, actor: Net, critic: Net, value: Net, action: int) -> Products:
    # The policy in s of the proposals; in s' it is known from the target.
    assert isinstance(algorithm, CQL)
    proposals = 6 * algorithm.samples * critic.rows / MANY
    return (
        _sac(algorithm, actor, critic, value, action)
        + actor.forward
        + proposals * replace(critic, rows=MANY).training
    )


PASSES: dict[str, Callable[[Algorithm, Net, Net, Net, int], Products]] = {
    "bc": _bc,
    "iql": _iql,
    "xql": _iql,
    "awac": _awac,
    "td3_bc": _td3_bc,
    "sac": _sac,
    "edac": _edac,
    "cql": _cql,
    "mopo": _sac,
    "mobile": _sac,
    COMBO.name: _cql,
}
"""The products of a batch."""
