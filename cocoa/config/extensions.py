"""Algorithms by name: the project's own, and classes of a user's module as `module:Class`."""

from __future__ import annotations

import importlib
import sys
from dataclasses import fields
from typing import Any

from cocoa.algos.base import REGISTRY, Algorithm
from cocoa.config.typed import check_choice
from cocoa.errors import ConfigError, RunError, shown


def algorithm_reference(cls: type[Algorithm]) -> str:
    """Return the text by which `find_algorithm` finds the class.

    The registered name for the project's own algorithms, which every process knows; `module:Class` for
    others; the registered name for a class that its module does not hold. Raises ConfigError for a class that
    cannot be found again.
    """
    registered = REGISTRY.get(cls.name) is cls
    if registered and cls.__module__.startswith("cocoa.algos."):
        return cls.name
    if _attribute(cls.__module__, cls.__qualname__) is cls:
        return f"{cls.__module__}:{cls.__qualname__}"
    if registered:
        return cls.name
    raise ConfigError(
        f"{cls.__qualname__} cannot be found again by its name, so a run with it could not be resumed or its "
        f"policy loaded: {cls.__module__}.{cls.__qualname__} is "
        f"{'defined inside of a function' if '<locals>' in cls.__qualname__ else 'another class by now'}. "
        "Define it at the top level of a module, and make the instance of the class that is there."
    )


def find_algorithm(reference: str, trust: bool = False) -> type[Algorithm]:
    """Return the class that `algorithm_reference` describes.

    A module that this process has not imported yet is imported only with `trust`, since importing runs its
    code. Raises ConfigError for an unknown name, RunError for a class that is not to be had.
    """
    module, colon, name = str(reference).partition(":")
    if not colon:
        check_choice("algo", reference, tuple(REGISTRY))
        return REGISTRY[reference]
    import_trusted(reference, trust)
    found = _attribute(module, name)
    if not (isinstance(found, type) and issubclass(found, Algorithm)):
        where = (
            "the script or notebook that defines it" if module == "__main__" else "the version that has it"
        )
        raise RunError(
            f"The algorithm {shown(reference)} is not there as a subclass of Algorithm: use {where}."
        )
    return found


def import_trusted(reference: str, trust: bool) -> None:
    """Import the module of `module:name`, if there is one and it is not imported yet.

    Raises RunError if that needs trust, or fails.
    """
    module, colon, _ = reference.partition(":")
    if not colon or module in sys.modules:
        return
    if not trust:
        raise RunError(
            f"The run names {shown(reference)}, and importing the module {shown(module)} runs its code. If "
            "you trust it, import it first, or pass trust=True in Python or --trust on the command line."
        )
    try:
        importlib.import_module(module)
    except Exception as error:  # whatever a user's module raises
        raise RunError(
            f"The module of {shown(reference)} cannot be imported ({type(error).__name__}: {shown(error)}). "
            "Start Python where it is found, or add its folder to PYTHONPATH."
        ) from error


def check_algorithm(algorithm: Algorithm) -> None:
    """Raise ConfigError unless the algorithm can be stored by its fields, and made again of them."""
    cls = type(algorithm)
    algorithm_reference(cls)
    try:
        cls()
        again = cls(**{field.name: getattr(algorithm, field.name) for field in fields(algorithm)})
        same = again == algorithm
    except Exception as error:  # whatever a user's class raises
        raise ConfigError(
            f"{cls.__name__} cannot be made of its fields ({type(error).__name__}: {shown(error)}): let it "
            "be a frozen dataclass whose fields all have defaults, without an __init__ of its own."
        ) from error
    if not same:
        raise ConfigError(
            f"{cls.__name__} made of its fields is not equal to {algorithm!r:.200}: let it be a frozen "
            "dataclass that keeps all it needs in its fields."
        )


def _attribute(module: str, name: str) -> Any:
    """Return what an imported module holds under a dotted name, or None."""
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    return found
