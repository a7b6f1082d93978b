"""Networks, distributions over actions, and the optimizer's state."""

from cocoa.algos.networks.distributions import gaussian_log_prob, squashed_sample
from cocoa.algos.networks.heads import (
    LOG_STD_BOUNDS,
    MLP,
    Concatenate,
    Critics,
    DeterministicPolicy,
    Encoder,
    GaussianPolicy,
    Networks,
    Scalar,
    SquashedGaussianPolicy,
    Value,
)
from cocoa.algos.networks.initializers import drawn_on_host, orthogonal
from cocoa.algos.networks.normalization import LayerNorm
from cocoa.algos.networks.optimization import Adam, Model, polyak

__all__ = [
    "LOG_STD_BOUNDS",
    "MLP",
    "Adam",
    "Concatenate",
    "Critics",
    "DeterministicPolicy",
    "Encoder",
    "GaussianPolicy",
    "LayerNorm",
    "Model",
    "Networks",
    "Scalar",
    "SquashedGaussianPolicy",
    "Value",
    "drawn_on_host",
    "gaussian_log_prob",
    "orthogonal",
    "polyak",
    "squashed_sample",
]
