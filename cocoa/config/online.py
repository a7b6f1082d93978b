"""The settings of the stage in which a run goes on in its environment."""

from __future__ import annotations

from dataclasses import dataclass

from cocoa.algos.base import check_at_least
from cocoa.dynamics.settings import Settings


@dataclass(frozen=True)
class OnlineConfig(Settings):
    """From offline to online: after the updates each seed goes on learning from steps that its policy makes.

    All numbers are per seed.
    """

    steps: int = 0
    """Environment steps after the updates; 0 trains offline alone. With updates=0 nothing comes before them.
    log_every and eval_every then count steps."""
    updates_per_step: int = 1
    """Gradient updates per environment step."""
    balanced: bool = False
    """Draw half of each batch from the dataset, and half from the collected transitions (RLPD); else each
    transition of both has the same chance."""
    warmup: int = 0
    """Steps before the first update of this stage, made by the policy that is there."""
    every: int = 50
    """Steps of a block. Its updates run while the next block is made, by the policy before them."""
    envs: int = 1
    """Instances of the environment, stepped side by side."""

    def __post_init__(self) -> None:
        """Raise ValueError for a value that is out of range."""
        check_at_least(0, self, "steps", "warmup")
        check_at_least(1, self, "updates_per_step", "every", "envs")
        if self.every % self.envs:
            raise ValueError(f"every={self.every} must be a multiple of online.envs={self.envs}")
        for name in ("steps", "warmup"):
            if getattr(self, name) % self.every:
                raise ValueError(
                    f"{name}={getattr(self, name)} must be a multiple of online.every={self.every}"
                )
        if 0 < self.steps <= self.warmup:
            raise ValueError(f"warmup={self.warmup} must be less than online.steps={self.steps}")
