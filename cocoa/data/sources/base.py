"""What a source of datasets is, and how one is registered: here or in a user's own package."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, TypeVar

from cocoa.data.dataset import Dataset
from cocoa.data.sources.download import Origin


@dataclass(frozen=True)
class DatasetInfo:
    """What is known of a dataset without reading it."""

    name: str
    env: str | None = None
    """Gymnasium id of the environment that evaluates its policies."""
    extra: str | None = None
    """The extra that reading the dataset needs."""
    files: tuple[Path, ...] = ()
    """Where its files are, or will be once they are downloaded."""
    origins: tuple[Origin | None, ...] = ()
    """Where each file was downloaded from, None where that is not known; empty: none was downloaded."""
    published_size: int | None = None
    """Bytes of its files where they are downloaded from, if that is known."""

    @property
    def cached(self) -> bool:
        """Whether all its files are on this machine."""
        return bool(self.files) and all(file.is_file() for file in self.files)

    @property
    def size(self) -> int | None:
        """Bytes of its files; unless it is cached, those of a download, if known."""
        return sum(file.stat().st_size for file in self.files) if self.cached else self.published_size


class DatasetSource(ABC):
    """Base of all sources: the names that it answers to, and how the dataset of a name is read.

    A subclass without a prefix answers to the names that it lists; one that is registered with a prefix, to
    every name that begins with it.
    """

    prefix: ClassVar[str] = ""
    """How its names begin, with the colon; empty: its names are those of `names`."""
    presets: ClassVar[bool] = False
    """Whether the settings in configs/presets are meant for its names."""

    @abstractmethod
    def read(self, name: str, env: str | None) -> Dataset:
        """Return the dataset of a full name, prefix included; `env` is the environment that the user named.

        Raises DataError, saying what to do, if it cannot be found or trusted.
        """

    def names(self) -> Collection[str]:
        """Return the full names that are known without a look outside of this machine, for error messages."""
        return ()

    def info(self, name: str) -> DatasetInfo:
        """Return what is known of a dataset without reading it; nothing is downloaded."""
        return DatasetInfo(name)

    def answers(self, name: str) -> bool:
        """Return whether the name is one of this source."""
        return name.startswith(self.prefix) if self.prefix else name in self.names()

    def from_anywhere(self, name: str) -> str:
        """Return the name by which the same dataset is found from any working directory."""
        return name

    def reference_returns(self, name: str) -> tuple[float, float] | None:
        """Return the returns that score 0 % and 100 % on a dataset's task, if they are known."""
        return None


SOURCES: list[DatasetSource] = []
"""All registered sources, in the order in which they are asked."""

S = TypeVar("S", bound=DatasetSource)


def register_source(prefix: str = "") -> Callable[[type[S]], type[S]]:
    """Make datasets available to `load` and `dataset=`; a decorator of subclasses of `DatasetSource`.

    The class is instantiated without arguments. With a prefix such as `"lab:"` the source answers to every
    name that begins with it. A class that is defined again, as in a notebook, replaces the former one. Raises
    ValueError for a prefix that is not letters, digits, `_` or `-` and a colon, or that belongs to another
    source.
    """
    if prefix and not is_prefix(prefix):
        raise ValueError(
            f"source prefix {prefix!r} must be letters, digits, _ or - and a colon, as in 'lab:'"
        )

    def add(cls: type[S]) -> type[S]:
        same = [s for s in SOURCES if _path(type(s)) == _path(cls)]
        taken = [s for s in SOURCES if prefix and s.prefix == prefix and s not in same]
        if taken:
            raise ValueError(f"source prefix {prefix!r} is already taken by {type(taken[0]).__qualname__}")
        cls.prefix = prefix
        SOURCES[:] = [*(s for s in SOURCES if s not in same), cls()]
        return cls

    return add


def _path(cls: type) -> tuple[str, str]:
    return cls.__module__, cls.__qualname__


def is_prefix(text: str) -> bool:
    """Return whether a text can be the prefix of a source."""
    return re.fullmatch(r"\w[\w-]*:", text) is not None
