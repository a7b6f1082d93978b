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
    from algos import REGISTRY, Algorithm, Batch, register
    from algos.bc import BC
    from algos.combo import COMBO
    from algos.cql import CQL
    from algos.iql import IQL
    from algos.mobile import MOBILE
    from algos.mopo import MOPO
    from algos.rebrac import ReBRAC
    from algos.sac import SAC
    from algos.td3_bc import TD3BC
    from cocoa.anchors.config import CocoaConfig
    from cocoa.api import fit, resume
    from cocoa.config.schema import Config
    from cocoa.data import Dataset, load, normalized_score
    from cocoa.errors import UserError
    from cocoa.runs.policy import Policy, load_policy

__all__ = [
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
    "Batch",
    "CocoaConfig",
    "Config",
    "Dataset",
    "Policy",
    "ReBRAC",
    "UserError",
    "fit",
    "load",
    "load_policy",
    "normalized_score",
    "register",
    "resume",
]

_MODULES = ("cocoa.errors", "cocoa.config.schema", "cocoa.data", "cocoa.runs.policy", "cocoa.api", "algos")


def __getattr__(name: str) -> Any:
    """Import one of `__all__`: importing all of it at once would make `train.py --help` slow."""
    if name in __all__:
        for module in _MODULES:
            if hasattr(found := importlib.import_module(module), name):
                return getattr(found, name)
        registry = importlib.import_module("algos").REGISTRY
        return next(algorithm for algorithm in registry.values() if algorithm.__name__ == name)
    raise AttributeError(f"module 'cocoa' has no attribute {name!r}")
