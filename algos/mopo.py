"""Model-based offline policy optimisation (Yu et al.; NeurIPS 2020; arXiv 2005.13239)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from cocoa.algos.base import check_at_least, register
from cocoa.algos.rollouts import ModelBased, Rollouts
from cocoa.algos.sac import SAC
from cocoa.dynamics.penalties import PENALTIES


@register("mopo")
@dataclass(frozen=True)
class MOPO(ModelBased, SAC):
    """MOPO: SAC on data and model rollouts whose rewards are lowered where the model is unsure.

    The losses are SAC's, on batches of which the share `real_ratio` is data and the rest is imagined with the
    reward r̂(s, a) - λ u(s, a); u is the `penalty`.
    """

    toy_fields: ClassVar[Mapping[str, Any]] = {"penalty_weight": 0.1}

    actor_learning_rate: float = 1e-4
    """Adam's step size of the policy, and of α."""
    cosine_schedule: bool = True
    """Let the policy's step size decay to zero over the training."""
    penalty: str = "aleatoric"
    """u: aleatoric (largest predicted deviation), pairwise (largest disagreement), deviation (spread)."""
    penalty_weight: float = 0.5
    """λ: weight of the penalty."""

    def __post_init__(self) -> None:
        """Raise ValueError for a value that is out of range."""
        super().__post_init__()
        check_at_least(0, self, "penalty_weight")
        if self.penalty not in PENALTIES:
            raise ValueError(f"penalty={self.penalty} must be one of {', '.join(PENALTIES)}")

    @property
    def source(self) -> Rollouts:
        """Penalised rollouts."""
        return replace(super().source, penalty=self.penalty, weight=self.penalty_weight)
