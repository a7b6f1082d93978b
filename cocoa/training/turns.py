"""How environment steps and updates alternate, and so which transitions an update draws from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Turns:
    """Blocks of environment steps, each with its updates; all numbers are per seed."""

    every: int
    """Environment steps of a block, over all instances."""
    updates: int
    """Updates after each block."""
    warmup: int
    """Steps after which updates begin; a multiple of `every`."""
    overlap: bool
    """Whether the steps of a block are made by the policy before the last updates, while these are made."""
    before: int = 0
    """Updates that are made before the first step."""

    def done(self, step: int) -> int:
        """Return how many updates belong to the first `step` environment steps, with those before them."""
        return self.before + max(0, step - self.warmup) // self.every * self.updates

    def collected(self, update: int) -> int:
        """Return how many steps have been made when the update of this number is."""
        if update < self.before:
            return 0
        return self.warmup + ((update - self.before) // self.updates + 1) * self.every
