"""Algorithms, anchor variants and loggers by name: the project's own, and a user's as `module:Class`."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from cocoa.algos.base import REGISTRY, Algorithm
from cocoa.anchors import ANCHORS, AnchorVariant
from cocoa.config.typed import check_choice, suggest
from cocoa.errors import ConfigError, RunError, shown
from cocoa.extras import extra_of


class Named(Protocol):
    """A class with a name by which users choose it."""

    name: ClassVar[str]


T = TypeVar("T", bound=Named)


@dataclass(frozen=True)
class Axis(Generic[T]):
    """A kind of classes that users can add to."""

    field: str
    """Of `Config`, and on the command line."""
    noun: str
    base: type[T]
    registry: Mapping[str, type[T]]
    package: str
    """The project's own classes are in modules whose names begin so."""
    entry_points: str
    """The group of entry points by which an installed package offers classes."""

    def names(self) -> list[str]:
        """Return the names that `find` takes: those of registered classes and of installed entry points."""
        return list(dict.fromkeys([*self.registry, *self._installed()]))

    def _installed(self) -> dict[str, EntryPoint]:
        return installed_classes(self.entry_points)

    def reference(self, cls: type[T]) -> str:
        """Return the text by which `find` finds a class.

        The registered name for the project's own classes, which every process knows; `module:Class` for
        others; the registered name for a class that its module does not hold. Raises ConfigError for a class
        that cannot be found again.
        """
        name: str = cls.name
        registered = self.registry.get(name) is cls
        if registered and cls.__module__.startswith(self.package):
            return name
        if _attribute(cls.__module__, cls.__qualname__) is cls:
            module = cls.__module__ if cls.__module__ != "__main__" else script_module() or "__main__"
            return f"{module}:{cls.__qualname__}"
        if registered:
            return name
        raise ConfigError(
            f"{cls.__qualname__} cannot be found again by its name, so a run with it could not be resumed "
            f"or its policy loaded: {cls.__module__}.{cls.__qualname__} is "
            f"{'defined inside of a function' if '<locals>' in cls.__qualname__ else 'another class'}. "
            "Define it at the top level of a module, and make the instance of the class that is there."
        )

    def find(self, reference: str, trust: bool = False) -> type[T]:
        """Return the class that a text of `reference` describes.

        A module that this process has not imported yet is imported only with `trust`, since importing runs
        its code, or if an installed entry point of this kind names it. Raises ConfigError for an unknown
        name, RunError for a class that is not there.
        """
        module, colon, name = str(reference).partition(":")
        installed = self._installed()
        if not colon:
            if reference in self.registry:
                return self.registry[reference]
            if "." in str(reference):
                raise ConfigError(
                    f"{self.field}={shown(reference)} names a module: name the class in it as well, as in "
                    f"{self.field}={shown(reference)}:<Class>."
                )
            check_choice(self.field, reference, self.names())
            return self.find(installed[reference].value)
        import_trusted(reference, trust or module in {point.module for point in installed.values()})
        cls = _attribute(module, name)
        if isinstance(cls, type) and issubclass(cls, self.base):
            return cls
        if cls is not None:
            raise RunError(
                f"{shown(reference)} is not {_article(self.noun)} {self.noun}: it is not a subclass of "
                f"cocoa.{self.base.__name__}."
            )
        members = vars(_imported(module)).items() if _imported(module) else ()
        near = [key for key, held in members if isinstance(held, type) and issubclass(held, self.base)]
        hint = "" if module != "__main__" else " Use the script or notebook that defines it."
        raise RunError(
            f"The module {shown(module)} has no {self.noun} {shown(name)}."
            f"{suggest(name, near, f'{module}:') or hint}"
        )

    def imported(self, reference: str) -> type[T] | None:
        """Return what `find` does if the class is there already, else None; nothing is imported."""
        module, _, name = reference.partition(":")
        cls = self.registry.get(reference, _attribute(module, name))
        return cls if isinstance(cls, type) and issubclass(cls, self.base) else None

    def check(self, instance: T) -> None:
        """Raise ConfigError unless a dataclass's instance can be stored by its fields, and made of them."""
        cls = type(instance)
        self.reference(cls)
        try:
            cls()
            again = cls(**{field.name: getattr(instance, field.name) for field in fields(instance)})  # type: ignore[arg-type]
            same = again == instance
        except Exception as error:  # whatever a user's class raises
            raise ConfigError(
                f"{cls.__name__} cannot be made of its fields ({type(error).__name__}: {shown(error)}): let "
                "it be a frozen dataclass whose fields all have defaults, without an __init__ of its own."
            ) from error
        if not same:
            raise ConfigError(
                f"{cls.__name__} made of its fields is not equal to {instance!r:.200}: let it be a frozen "
                "dataclass that keeps all it needs in its fields."
            )


ALGORITHMS = Axis("algo", "algorithm", Algorithm, REGISTRY, "cocoa.algos.", "cocoa.algorithms")
ANCHOR_VARIANTS = Axis("cocoa", "anchor variant", AnchorVariant, ANCHORS, "cocoa.anchors.", "cocoa.anchors")


def import_trusted(reference: str, trust: bool) -> None:
    """Import the module of `module:name`, if there is one and it is not imported yet.

    Those of extras are trusted, and imported where they are needed. Raises RunError if an import needs trust,
    or fails.
    """
    module, colon, _ = reference.partition(":")
    if not colon or _imported(module) or extra_of(module):
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
            "If Python does not find it, start where it is, or add its folder to PYTHONPATH."
        ) from error


def _article(noun: str) -> str:
    return "an" if noun[0] in "aeiou" else "a"


@functools.cache
def installed_classes(group: str) -> dict[str, EntryPoint]:
    """Return the entry points of a group by their names; none of them is loaded."""
    return {point.name: point for point in entry_points(group=group)}


def script_module() -> str:
    """Return the name by which other processes import the script that runs; empty for a notebook."""
    main = sys.modules["__main__"]
    path, spec = getattr(main, "__file__", None), getattr(main, "__spec__", None)
    if path is None:
        return ""
    name = spec.name if spec else Path(path).stem
    with contextlib.suppress(ImportError, ValueError, OSError):
        importable = importlib.util.find_spec(name)
        if importable and importable.origin and os.path.samefile(importable.origin, path):
            return name
    return ""


def _imported(module: str) -> Any:
    """Return a module that is imported, be it as the script that runs, or None."""
    if module in sys.modules or module != script_module():
        return sys.modules.get(module)
    return sys.modules["__main__"]


def _attribute(module: str, name: str) -> Any:
    """Return what an imported module holds under a dotted name, or None."""
    held: Any = _imported(module)
    for part in name.split("."):
        held = getattr(held, part, None)
    return held
