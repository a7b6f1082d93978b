"""Networks, distributions over actions, and the optimizer's state."""

from cocoa.algos.networks.batching import joined, together
from cocoa.algos.networks.distributions import Distribution, Gaussian, SquashedGaussian
from cocoa.algos.networks.factory import Networks
from cocoa.algos.networks.flows import NoisePolicy, VelocityField, euler, flow_matching
from cocoa.algos.networks.heads import (
    LOG_STD_BOUNDS,
    MLP,
    Concatenate,
    Critic,
    Critics,
    DeterministicPolicy,
    Encoder,
    GaussianPolicy,
    Scalar,
    SquashedGaussianPolicy,
    Value,
)
from cocoa.algos.networks.initializers import drawn_on_host, orthogonal
from cocoa.algos.networks.normalization import LayerNorm
from cocoa.algos.networks.optimization import Adam, Model, frozen, polyak
from cocoa.algos.networks.packing import packed, scan, unpacked

__all__ = [
    "LOG_STD_BOUNDS",
    "MLP",
    "Adam",
    "Concatenate",
    "Critic",
    "Critics",
    "DeterministicPolicy",
    "Distribution",
    "Encoder",
    "Gaussian",
    "GaussianPolicy",
    "LayerNorm",
    "Model",
    "Networks",
    "NoisePolicy",
    "Scalar",
    "SquashedGaussian",
    "SquashedGaussianPolicy",
    "Value",
    "VelocityField",
    "drawn_on_host",
    "euler",
    "flow_matching",
    "frozen",
    "joined",
    "orthogonal",
    "packed",
    "polyak",
    "scan",
    "together",
    "unpacked",
]
