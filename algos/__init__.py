"""One file per algorithm, and what an algorithm of one's own needs beside `cocoa.algos.networks`.

Every module in this package is imported, so that a new file registers itself.
"""

import importlib
import pkgutil

if __name__ != "cocoa.algos":
    raise ImportError("this folder is imported as cocoa.algos")

from cocoa.algos.base import (
    REGISTRY,
    Act,
    Algorithm,
    Array,
    Batch,
    Metrics,
    NextActionBatch,
    Observation,
    RefreshedSource,
    Source,
    State,
    World,
    check_at_least,
    concatenate,
    register,
)

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")

__all__ = [
    "REGISTRY",
    "Act",
    "Algorithm",
    "Array",
    "Batch",
    "Metrics",
    "NextActionBatch",
    "Observation",
    "RefreshedSource",
    "Source",
    "State",
    "World",
    "check_at_least",
    "concatenate",
    "register",
]
