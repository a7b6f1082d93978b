"""The evaluations of a run: what is logged of them, and what the user is warned of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from cocoa.config.schema import Config
from cocoa.data import normalized_score
from cocoa.errors import RunError
from cocoa.runs.folder import how_to_resume
from cocoa.training import faults, processes
from cocoa.training.evaluation import Actor, Evaluator
from cocoa.training.seeds import PerSeed


class Evaluations:
    """Plays the policies of all seeds, in all processes of the run."""

    def __init__(self, evaluator: Evaluator, actor: Actor, config: Config, folder: Path):
        """`evaluator` and `actor` are of this process's seeds; `folder` is the run's."""
        self.evaluator = evaluator
        self.actor = actor
        self.config = config
        self.folder = folder

    def run(self, learner: PerSeed, step: int) -> tuple[dict[str, np.ndarray], list[str]]:
        """Return metrics (seeds,) of the policies after the update `step`, and warnings.

        Raises RunError, which says how to repeat this, if an environment fails.
        """
        returns = self._returns(learner, step).mean(axis=1)
        tally = faults.tally(self.evaluator.faults, self.evaluator.seeds)
        returns, tally = processes.gather((returns, tally))
        metrics, warnings = {"evaluation/return": returns}, []
        scores: list[Any] = [normalized_score(self.evaluator.env_id, value) for value in returns]
        if None not in scores:
            metrics["evaluation/score"] = np.asarray(scores, np.float64)
        for kind, counts in tally.items():
            if counts.any():
                metrics[f"evaluation/nonfinite_{kind}s"] = counts[:, 0]
                warnings.append(faults.describe(kind, counts, self.config.seeds, step))
        return metrics, warnings

    def _returns(self, learner: PerSeed, step: int) -> np.ndarray:
        """Return the returns (seeds, episodes) of this process's seeds."""
        policies = self.actor.policies(learner)
        try:
            return processes.all_or_none(lambda: self.evaluator.evaluate(policies, step))
        except RunError as error:
            raise RunError(
                f"{error} The {step:,} updates made are saved; cocoa.load_policy loads their policy. "
                f"To repeat this evaluation and go on: {how_to_resume(self.folder, self.config)}"
            ) from error.__cause__
