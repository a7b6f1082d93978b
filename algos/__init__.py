"""One file per algorithm. Every module in this package is imported, so that a new file registers itself."""

import importlib
import pkgutil

from algos.base import REGISTRY, Algorithm, Batch, register

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"algos.{_module.name}")

__all__ = ["REGISTRY", "Algorithm", "Batch", "register"]
