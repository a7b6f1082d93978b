"""Compositional conservatism for offline reinforcement learning.

    import cocoa

    policy = cocoa.fit(cocoa.IQL(), "hopper-demo", cocoa=True, updates=50_000)
    action = policy(observation)

Everything in `__all__` is imported from here, when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cocoa.algos import REGISTRY, Algorithm, Batch, register
    from cocoa.algos.bc import BC
    from cocoa.algos.combo import COMBO
    from cocoa.algos.cql import CQL
    from cocoa.algos.iql import IQL
    from cocoa.algos.mobile import MOBILE
    from cocoa.algos.mopo import MOPO
    from cocoa.algos.rebrac import ReBRAC
    from cocoa.algos.sac import SAC
    from cocoa.algos.td3_bc import TD3BC
    from cocoa.anchors import (
        ANCHORS,
        AnchorVariant,
        Denoise,
        Nearest,
        Random,
        Seek,
        SelfNoise,
        Settle,
        Zero,
        register_anchors,
    )
    from cocoa.api import fit, resume
    from cocoa.config.schema import Config
    from cocoa.data import Dataset, DatasetSource, load, normalized_score, register_source
    from cocoa.errors import DataError, UserError
    from cocoa.runs.policy import Policy, load_policy

__all__ = [
    "ANCHORS",
    "BC",
    "COMBO",
    "CQL",
    "IQL",
    "MOBILE",
    "MOPO",
    "REGISTRY",
    "SAC",
    "TD3BC",
    "Algorithm",
    "AnchorVariant",
    "Batch",
    "Config",
    "DataError",
    "Dataset",
    "DatasetSource",
    "Denoise",
    "Nearest",
    "Policy",
    "Random",
    "ReBRAC",
    "Seek",
    "SelfNoise",
    "Settle",
    "UserError",
    "Zero",
    "fit",
    "load",
    "load_policy",
    "normalized_score",
    "register",
    "register_anchors",
    "register_source",
    "resume",
]

_MODULES = (
    "cocoa.errors",
    "cocoa.config.schema",
    "cocoa.data",
    "cocoa.runs.policy",
    "cocoa.api",
    "cocoa.algos",
    "cocoa.anchors",
)


def __getattr__(name: str) -> Any:
    """Import one of `__all__`: importing all of it at once would make `train.py --help` slow."""
    if name in __all__:
        for module in _MODULES:
            if hasattr(found := importlib.import_module(module), name):
                return getattr(found, name)
        registry = importlib.import_module("cocoa.algos").REGISTRY
        return next(algorithm for algorithm in registry.values() if algorithm.__name__ == name)
    raise AttributeError(f"module 'cocoa' has no attribute {name!r}")
