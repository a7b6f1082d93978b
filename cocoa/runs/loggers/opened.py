"""The loggers of a run: found by their names, opened together, and left out where they fail."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from cocoa.config.schema import Config
from cocoa.errors import shown
from cocoa.runs.loggers.base import CSV, LOGGERS, LoggedRun, Logger
from cocoa.runs.loggers.tensorboard import TensorBoard
from cocoa.runs.loggers.wandb import WandB
from cocoa.training.evaluation import Episodes

OWN: tuple[type[Logger], ...] = (CSV, WandB, TensorBoard)
"""The project's own loggers; importing this module registers them."""


def with_loggers(config: Config) -> Config:
    """Return the configuration with its loggers named so that another process finds them.

    Raises a UserError if one is unknown or cannot be used. Modules that `config.logger` names are imported.
    """
    found = [LOGGERS.find(name, trust=True) for name in config.logger]
    for logger in found:
        logger.check()
    return replace(config, logger=tuple(dict.fromkeys(map(LOGGERS.reference, found))))


class Loggers:
    """The loggers of a run, as one; a failure leaves out the logger, and never stops the run."""

    def __init__(self, run: LoggedRun, trust: bool = False):
        """Open the loggers of `run.config`; `trust` allows importing the modules that they name."""
        self._say = run.say
        self._open: list[Logger] = []
        for name in run.config.logger:
            with self._guarded(name):
                logger = LOGGERS.find(name, trust)
                logger.check()
                self._open.append(logger(run))

    def log(self, step: int, metrics: Mapping[str, Any]) -> None:
        """Log numbers, or arrays (seeds,) of them, against the update `step`; None is no value."""
        values = {name: value for name, value in metrics.items() if value is not None}
        self._each(lambda logger: logger.log(step, values))

    def log_epoch(self, epoch: int, metrics: Mapping[str, Any]) -> None:
        """Log numbers, or arrays (seeds,) of them, against the epoch of a model's fit."""
        self._each(lambda logger: logger.log_epoch(epoch, metrics))

    def measurements(self, values: Mapping[str, Any]) -> None:
        """Log what is measured once, before the training."""
        self._each(lambda logger: logger.measurements(values))

    def episodes(self, step: int, episodes: Episodes) -> None:
        """Log the episodes of an evaluation."""
        self._each(lambda logger: logger.episodes(step, episodes))

    def image(self, name: str, path: Path) -> None:
        """Log the picture at `path`."""
        self._each(lambda logger: logger.image(name, path))

    def videos(self, step: int, paths: Mapping[int, Path]) -> None:
        """Log a video for each seed."""
        self._each(lambda logger: logger.videos(step, paths))

    def close(self, summary: Mapping[str, Any]) -> None:
        """Close all loggers."""
        self._each(lambda logger: logger.close(summary))
        self._open = []

    def _each(self, action: Callable[[Logger], None]) -> None:
        for logger in list(self._open):
            with self._guarded(logger.name, logger):
                action(logger)

    @contextlib.contextmanager
    def _guarded(self, name: str, logger: Logger | None = None):
        """Leave out a logger that fails inside, and tell the user."""
        try:
            yield
        except Exception as error:  # whatever goes wrong there, training goes on
            reason = shown(str(error) or type(error).__name__, 300)
            self._say(f"The logger {name} failed and is left out from here on: {reason}")
            if logger:
                self._open.remove(logger)
                with contextlib.suppress(Exception):
                    logger.abandon()
