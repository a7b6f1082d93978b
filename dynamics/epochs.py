"""How long a fit in epochs goes on, whatever is fitted."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from cocoa.dynamics.settings import Settings


class EpochSettings(Settings):
    """Base of the settings of such a fit: dataclasses that have these fields."""

    learning_rate_decay: bool
    max_epochs: int
    max_updates: int | None
    patience: int

    def epochs(self, updates: int) -> int:
        """Return the largest number of passes over the data, each of `updates` updates."""
        if self.max_updates is None:
            return self.max_epochs
        return min(self.max_epochs, -(-self.max_updates // updates))


class EpochFit(ABC):
    """Base of the fits: when they end. Their states have the numbers `epoch` and `stale_epochs`."""

    config: EpochSettings

    @property
    @abstractmethod
    def updates(self) -> int:
        """Updates of an epoch."""

    def finished(self, state: Any) -> bool:
        """Return whether no epoch is left."""
        # To stop before a step size has fallen would lose what it falls for.
        settled = not self.config.learning_rate_decay and int(state.stale_epochs) >= self.config.patience
        done, most = self.progress(state)
        return settled or done >= most

    def progress(self, state: Any) -> tuple[int, int]:
        """Return the epochs done and an upper bound of all."""
        return int(state.epoch), self.config.epochs(self.updates)
