"""The networks of a run, made for algorithms."""

from __future__ import annotations

from dataclasses import dataclass

from cocoa.algos.networks.flows import NoisePolicy, VelocityField
from cocoa.algos.networks.heads import (
    Concatenate,
    Critics,
    DeterministicPolicy,
    Encoder,
    GaussianPolicy,
    SquashedGaussianPolicy,
    Value,
)


@dataclass(frozen=True)
class Networks:
    """What is the same for all networks of a run: the encoder, the layers behind it, the action's size."""

    action_dim: int
    hidden: tuple[int, ...]
    encoder: Encoder = Concatenate
    activation: str = "relu"
    """A name in `cocoa.algos.base.ACTIVATIONS`."""

    def value(self, layer_norm: bool = False) -> Value:
        """Return a state-value network."""
        return Value(self.encoder, self.hidden, layer_norm, self.activation)

    def critics(self, count: int = 2, layer_norm: bool = False) -> Critics:
        """Return `count` independent action values; see `Critics` for how to evaluate one alone."""
        return Critics(self.encoder, self.hidden, count, layer_norm, self.activation)

    def deterministic_policy(self, layer_norm: bool = False) -> DeterministicPolicy:
        """Return a policy without noise."""
        return DeterministicPolicy(self.encoder, self.hidden, self.action_dim, layer_norm, self.activation)

    def squashed_gaussian_policy(self) -> SquashedGaussianPolicy:
        """Return SAC's policy."""
        return SquashedGaussianPolicy(self.encoder, self.hidden, self.action_dim, self.activation)

    def gaussian_policy(self, dropout: float = 0.0) -> GaussianPolicy:
        """Return a policy with a state-independent standard deviation."""
        return GaussianPolicy(self.encoder, self.hidden, self.action_dim, dropout, self.activation)

    def noise_policy(self) -> NoisePolicy:
        """Return a policy that maps noise to actions, which are not bounded."""
        return NoisePolicy(self.encoder, self.hidden, self.action_dim, self.activation)

    def velocity_field(self) -> VelocityField:
        """Return the velocity of a flow from noise to actions; see `flow_matching` and `euler`."""
        return VelocityField(self.encoder, self.hidden, self.action_dim, self.activation)
