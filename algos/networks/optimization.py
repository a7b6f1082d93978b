"""Networks with their parameters, and how they are moved."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import flax.linen as nn
import jax
import optax
from flax import struct

from cocoa.algos.base import Array, Metrics
from cocoa.algos.networks.packing import packed, unpacked


@dataclass(frozen=True)
class Adam:
    """Adam (Kingma, Ba; ICLR 2015) as a value: two with equal settings are equal.

    optax's own transformations are not, and compiled programs for one would not be found for the other.
    """

    learning_rate: float
    decay_updates: int | None = None
    """Updates over which the step size falls to zero along half a cosine; None keeps it constant."""

    @property
    def transformation(self) -> optax.GradientTransformation:
        """The optimizer."""
        if self.decay_updates is None:
            return optax.adam(self.learning_rate)
        return optax.adam(optax.cosine_decay_schedule(self.learning_rate, self.decay_updates))


@struct.dataclass
class Model:
    """A network with its parameters and its optimizer's state."""

    params: Any
    opt_state: Any
    module: nn.Module = struct.field(pytree_node=False)
    optimizer: Adam | None = struct.field(pytree_node=False)
    """None: the network is frozen."""

    @classmethod
    def create(cls, module: nn.Module, optimizer: Adam, key: Array, *inputs: Any) -> Model:
        """Initialise `module` for `inputs`, of which only shapes matter."""
        params = module.lazy_init(key, *jax.eval_shape(lambda: inputs))["params"]
        return cls(params, optimizer.transformation.init(params), module, optimizer)

    def __call__(self, *inputs: Any, params: Any = None, dropout: Array | None = None) -> Any:
        """Apply the network, with `params` in place of its own if given.

        `dropout` is a key that draws which hidden units are left out; None leaves out none, and neither does
        a frozen network.
        """
        variables = {"params": self.params if params is None else params}
        rngs = None if dropout is None or self.optimizer is None else {"dropout": dropout}
        return self.module.apply(variables, *inputs, rngs=rngs)

    def minimize(self, loss: Callable[..., tuple[Array, Metrics]], *args: Any) -> tuple[Model, Metrics]:
        """Take one optimizer step on `loss(params, *args) -> (loss, metrics)`; a frozen one takes none."""
        if self.optimizer is None:
            return self, loss(self.params, *args)[1]
        gradient, metrics = jax.grad(loss, has_aux=True)(self.params, *args)
        params, opt_state = packed((self.params, self.opt_state))
        updates, opt_state = self.optimizer.transformation.update(packed(gradient), opt_state, params)
        moved = optax.apply_updates(params, updates), opt_state
        params, opt_state = unpacked(moved, (self.params, self.opt_state))
        return replace(self, params=params, opt_state=opt_state), metrics


def frozen(state: Any) -> Any:
    """Return an algorithm's state with all its `Model`s frozen: an update then returns their losses alone."""

    def freeze(part: Any) -> Any:
        return replace(part, optimizer=None) if isinstance(part, Model) else part

    return jax.tree.map(freeze, state, is_leaf=lambda part: isinstance(part, Model))


def polyak(target: Any, online: Any, rate: float) -> Any:
    """Return (1 - rate) target + rate online, leaf by leaf."""
    return unpacked(optax.incremental_update(packed(online), packed(target), rate), target)
