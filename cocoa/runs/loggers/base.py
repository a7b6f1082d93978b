"""What a logger is: a class that gets what a run logs, beside the files in the run's folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from cocoa.config.extensions import Axis
from cocoa.config.schema import Config
from cocoa.dynamics.registry import registration
from cocoa.training.evaluation import Episodes


@dataclass(frozen=True)
class LoggedRun:
    """The run that a logger is opened for."""

    config: Config
    folder: Path
    """The run's own; a logger writes into a folder of its own in it."""
    say: Callable[[str], None]
    """Prints a sentence to the user, and keeps it in the run's log.txt."""
    step: int = 0
    """Updates that were made before: more than 0 if the run is resumed."""
    provenance: Mapping[str, Any] = field(default_factory=dict)
    """What the run's summary says of it: `dataset_sha256`, `git_commit`, `versions`, `hardware`."""


class Logger:
    """Base of all loggers. A subclass overrides what it is interested in; each method here does nothing.

    Values are numbers, or arrays (seeds,) in the order of `config.seeds`. An exception in any method leaves
    the logger out from then on, with a sentence to the user; the training goes on. A run that is cut and
    resumed opens its loggers again, and does not repeat what they were given before.
    """

    name: ClassVar[str] = ""
    """What messages call it: the name it is registered by, else that of the class."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Give the class a name of its own."""
        super().__init_subclass__(**kwargs)
        if "name" not in vars(cls):
            cls.name = cls.__name__

    def __init__(self, run: LoggedRun):
        """Open the logger when its run starts or is resumed."""

    @classmethod
    def check(cls) -> None:
        """Raise a UserError, before long work, if the logger cannot be used: a package is missing."""

    def log(self, step: int, metrics: Mapping[str, Any]) -> None:
        """Take metrics after the update `step`: evaluation/..., training/..., held_out/..."""

    def log_epoch(self, epoch: int, metrics: Mapping[str, Any]) -> None:
        """Take metrics of an epoch, from 1, in which a model was fitted: fit/<model>/..."""

    def measurements(self, values: Mapping[str, Any]) -> None:
        """Take what was measured once, before the first update: dynamics/..., anchors/..."""

    def episodes(self, step: int, episodes: Episodes) -> None:
        """Take the episodes of the evaluation after the update `step`."""

    def image(self, name: str, path: Path) -> None:
        """Take a picture of the whole run, a PNG file."""

    def videos(self, step: int, paths: Mapping[int, Path]) -> None:
        """Take an MP4 file for each seed: an episode of its policy after the update `step`."""

    def close(self, summary: Mapping[str, Any]) -> None:
        """Close at the end of the run, or of this part of it, with what summary.json says."""

    def abandon(self) -> None:
        """Release what is open after another method has raised; no method is called any more."""


REGISTRY: dict[str, type[Logger]] = {}
"""Loggers by the name under which `logger=[...]` finds them."""
LOGGERS = Axis("logger", "logger", Logger, REGISTRY, "cocoa.runs.loggers.", "cocoa.loggers")

L = TypeVar("L", bound=type[Logger])


def register_logger(name: str) -> Callable[[L], L]:
    """Make a logger available as `logger=[<name>]`; a decorator of subclasses of `Logger`.

    A class that is defined again, as in a notebook, replaces the former one. Raises ValueError if the name
    belongs to another class, or is not made of letters, digits, `_` and `-`.
    """
    return registration(REGISTRY, "logger", name)


@register_logger("csv")
class CSV(Logger):
    """The run's own metrics.csv and episodes.csv.

    A run writes them whatever `logger` lists, since resuming and reporting read them: there is nothing left
    to do here.
    """
