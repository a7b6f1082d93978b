"""How policies are evaluated without an environment."""

from __future__ import annotations

from dataclasses import dataclass

from cocoa.algos.base import check_at_least, check_positive
from cocoa.dynamics.settings import Settings

EPISODES = ("held_out", "all")


@dataclass(frozen=True)
class Selection(Settings):
    """Settings of fitted Q evaluation, the same for all policies that are compared."""

    episodes: str = "held_out"
    """Episodes that Q is fitted to: held_out, those that the run was not trained on, if any; all, these and
    those that it was trained on."""
    updates: int = 10_000
    """Gradient updates of Q, for each policy."""
    discount: float = 0.99
    """Discount per step, γ, of what is estimated; not that of the algorithms, so that all policies are
    measured by the same."""
    batch_size: int = 256
    """Transitions per update."""
    hidden: tuple[int, ...] = (256, 256)
    """Widths of Q's hidden layers."""
    learning_rate: float = 3e-4
    """Adam's step size."""
    target_rate: float = 0.05
    """Share of Q that enters its target network with each update."""

    def __post_init__(self) -> None:
        """Raise ValueError for a value that is out of range."""
        check_at_least(1, self, "updates", "batch_size")
        check_positive(self, "learning_rate")
        check_positive(self, "target_rate", most=1)
        if not 0 <= self.discount < 1:
            raise ValueError(f"discount={self.discount} must be at least 0 and below 1")
        if self.episodes not in EPISODES:
            raise ValueError(f"episodes={self.episodes} must be one of {', '.join(EPISODES)}")
