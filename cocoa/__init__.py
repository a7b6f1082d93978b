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
    from cocoa.algos.awac import AWAC
    from cocoa.algos.base import NextActionBatch, RefreshedSource, ReturnBatch, Source, World, concatenate
    from cocoa.algos.bc import BC
    from cocoa.algos.combo import COMBO
    from cocoa.algos.cql import CQL
    from cocoa.algos.edac import EDAC
    from cocoa.algos.fql import FQL
    from cocoa.algos.ifql import IFQL
    from cocoa.algos.iql import IQL
    from cocoa.algos.leq import LEQ
    from cocoa.algos.mobile import MOBILE
    from cocoa.algos.mobrac import MoBRAC
    from cocoa.algos.mopo import MOPO
    from cocoa.algos.networks import (
        MLP,
        Adam,
        Critics,
        Distribution,
        Encoder,
        Gaussian,
        Model,
        Networks,
        NoisePolicy,
        SquashedGaussian,
        VelocityField,
        euler,
        flow_matching,
        polyak,
        scan,
    )
    from cocoa.algos.rebrac import ReBRAC
    from cocoa.algos.rollouts import ModelBased
    from cocoa.algos.sac import SAC
    from cocoa.algos.td3_bc import TD3BC
    from cocoa.algos.xql import XQL
    from cocoa.anchors import (
        ANCHORS,
        AnchorMap,
        AnchorVariant,
        Denoise,
        Models,
        Nearest,
        Random,
        Seek,
        SeekerConfig,
        SelfNoise,
        Settle,
        Zero,
        register_anchors,
    )
    from cocoa.anchors.decomposition import Decomposition
    from cocoa.api import evaluate, fit, pieces, resume
    from cocoa.collection.launch import collect
    from cocoa.config.schema import Config
    from cocoa.data import (
        Dataset,
        DatasetInfo,
        DatasetSource,
        Scaling,
        load,
        normalized_batch,
        normalized_score,
        register_source,
    )
    from cocoa.data.preprocessing import DataConfig
    from cocoa.dynamics.config import EnsembleConfig
    from cocoa.dynamics.termination import termination_rule
    from cocoa.errors import ConfigError, DataError, RunError, UserError
    from cocoa.runs.loggers.base import LoggedRun, Logger, register_logger
    from cocoa.runs.pieces import Pieces, sample
    from cocoa.runs.policy import Policy, load_policy
    from cocoa.runs.reevaluation import FinalEvaluation

__all__ = [
    "ANCHORS",
    "AWAC",
    "BC",
    "COMBO",
    "CQL",
    "EDAC",
    "FQL",
    "IFQL",
    "IQL",
    "LEQ",
    "MLP",
    "MOBILE",
    "MOPO",
    "REGISTRY",
    "SAC",
    "TD3BC",
    "XQL",
    "Adam",
    "Algorithm",
    "AnchorMap",
    "AnchorVariant",
    "Batch",
    "Config",
    "ConfigError",
    "Critics",
    "DataConfig",
    "DataError",
    "Dataset",
    "DatasetInfo",
    "DatasetSource",
    "Decomposition",
    "Denoise",
    "Distribution",
    "Encoder",
    "EnsembleConfig",
    "FinalEvaluation",
    "Gaussian",
    "LoggedRun",
    "Logger",
    "MoBRAC",
    "Model",
    "ModelBased",
    "Models",
    "Nearest",
    "Networks",
    "NextActionBatch",
    "NoisePolicy",
    "Pieces",
    "Policy",
    "Random",
    "ReBRAC",
    "RefreshedSource",
    "ReturnBatch",
    "RunError",
    "Scaling",
    "Seek",
    "SeekerConfig",
    "SelfNoise",
    "Settle",
    "Source",
    "SquashedGaussian",
    "UserError",
    "VelocityField",
    "World",
    "Zero",
    "collect",
    "concatenate",
    "euler",
    "evaluate",
    "fit",
    "flow_matching",
    "load",
    "load_policy",
    "normalized_batch",
    "normalized_score",
    "pieces",
    "polyak",
    "register",
    "register_anchors",
    "register_logger",
    "register_source",
    "resume",
    "sample",
    "scan",
    "termination_rule",
]

_MODULES = (
    "cocoa.errors",
    "cocoa.config.schema",
    "cocoa.data",
    "cocoa.data.preprocessing",
    "cocoa.dynamics.config",
    "cocoa.dynamics.termination",
    "cocoa.algos",
    "cocoa.algos.base",
    "cocoa.algos.networks",
    "cocoa.algos.rollouts",
    "cocoa.anchors",
    "cocoa.anchors.decomposition",
    "cocoa.runs.policy",
    "cocoa.runs.loggers.base",
    "cocoa.runs.pieces",
    "cocoa.api",
    "cocoa.collection.launch",
)
"""Where the names are, quick imports first."""


def __getattr__(name: str) -> Any:
    """Import one of `__all__`: importing all of it at once would make `--help` slow."""
    if name in __all__:
        registry = importlib.import_module("cocoa.algos").REGISTRY
        own = (cls for cls in registry.values() if cls.__module__.startswith("cocoa."))  # not a user's
        algorithms = {algorithm.__name__: algorithm for algorithm in own}
        modules = (importlib.import_module(module) for module in _MODULES)
        homes = (vars(module) for module in modules if name in vars(module))
        return algorithms[name] if name in algorithms else next(homes)[name]
    raise AttributeError(f"module 'cocoa' has no attribute {name!r}")


def __dir__() -> list[str]:
    """Return the names in this module and those that are imported from here."""
    return sorted({*globals(), *__all__})
