"""One file per algorithm. Every module in this package is imported, so that a new file registers itself."""

import importlib
import pkgutil

if __name__ != "cocoa.algos":
    raise ImportError("this folder is imported as cocoa.algos")

from cocoa.algos.base import REGISTRY, Algorithm, Batch, register

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")

__all__ = ["REGISTRY", "Algorithm", "Batch", "register"]
