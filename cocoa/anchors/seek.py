"""Anchors by the seeker's walk (COCOA, Song, Lee, Kim; ICLR 2024; arXiv 2404.04682)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import jax
from flax import struct

from cocoa.algos.base import check_at_least
from cocoa.anchors.base import AnchorMap, AnchorVariant, Models, register_anchors
from cocoa.anchors.seeker import Seeker, SeekerConfig


@register_anchors("seek")
@dataclass(frozen=True)
class Seek(AnchorVariant):
    """The state that the anchor seeker reaches in `horizon` steps of the learned dynamics (COCOA)."""

    uses_dynamics: ClassVar[bool] = True

    horizon: int = 1
    """Steps k of the mean forward dynamics under the seeker from a state to its anchor."""
    rollout_length: int = 5
    """Steps H of each reverse rollout."""
    rollout_scale: float = 0.8
    """Factor on the rollout's direction, the action of a random transition."""
    rollout_noise: float = 0.1
    """Standard deviation of the noise added to each reverse action."""
    seeker: SeekerConfig = field(default_factory=SeekerConfig)
    """The anchor seeker's training."""
    amortised: bool = False
    """Replace the walk by one network distilled from it: cheaper wherever anchors are computed during
    training (MOPO, MOBILE, evaluation), and not exact; the run reports the error."""
    per_seed: bool = False
    """Train dynamics and seeker once per seed, instead of once for all seeds of the run."""

    def __post_init__(self) -> None:
        """Raise ValueError for a value that is out of range."""
        check_at_least(1, self, "horizon", "rollout_length")
        check_at_least(0, self, "rollout_scale", "rollout_noise")

    def build(self, models: Models) -> AnchorMap:
        """Take the forward dynamics and the seeker."""
        walk = SeekMap(models.forward, self.trained_seeker(models), self.horizon)
        return models.distilled(walk) if self.amortised else walk

    def trained_seeker(self, models: Models) -> Seeker:
        """Return the seeker trained with these settings."""
        return models.seeker(self.seeker, self.rollout_length, self.rollout_scale, self.rollout_noise)


@struct.dataclass
class SeekMap:
    """The state after `horizon` steps of the mean forward dynamics under the seeker."""

    forward: Any
    seeker: Any
    horizon: int = struct.field(pytree_node=False)

    def __call__(self, states: jax.Array) -> jax.Array:
        """Walk from `states`."""
        for _ in range(self.horizon):
            states, _ = self.forward.mean_step(states, self.seeker(states))
        return states
