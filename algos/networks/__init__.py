"""Networks, distributions over actions, and the optimizer's state."""

from algos.networks.distributions import gaussian_log_prob, squashed_sample
from algos.networks.heads import (
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
from algos.networks.initializers import drawn_on_host, orthogonal
from algos.networks.normalization import LayerNorm
from algos.networks.optimization import Adam, Model, polyak

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
