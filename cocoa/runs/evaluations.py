"""The evaluations of a run: what is logged of them, and what the user is warned of."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cocoa.config.schema import Config
from cocoa.data.scores import References, scores
from cocoa.errors import RunError
from cocoa.runs.folder import how_to_resume
from cocoa.training import faults, processes
from cocoa.training.evaluation import Actor, Episodes, Evaluator
from cocoa.training.seeds import PerSeed


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The results of all seeds after some update."""

    episodes: Episodes
    metrics: dict[str, np.ndarray]
    """What is logged, (seeds,) each."""
    warnings: list[str]


def silent_as_failures(episodes: Episodes) -> Episodes:
    """Count episodes whose environment says nothing of success as failures where it does of others."""
    silent = np.isnan(episodes.successes)
    return episodes if silent.all() else episodes._replace(successes=np.where(silent, 0, episodes.successes))


def means(episodes: Episodes, env: str, references: References | None) -> dict[str, np.ndarray]:
    """Return the means over episodes, (seeds,) each, and the scores in `env` if there are any.

    `references` are the dataset's own reference returns.
    """
    metrics = {
        "evaluation/return": episodes.returns.mean(axis=1),
        "evaluation/length": episodes.lengths.mean(axis=1),
    }
    rates = 100 * episodes.successes.mean(axis=1)
    if not np.isnan(rates).any():
        metrics["evaluation/success"] = rates
    scored = scores(env, metrics["evaluation/return"], rates, references)
    if scored is not None:
        metrics["evaluation/score"] = scored
    return metrics


class Evaluations:
    """Plays the policies of all seeds, in all processes of the run."""

    def __init__(
        self, evaluator: Evaluator, actor: Actor, config: Config, folder: Path, references: References | None
    ):
        """`evaluator` and `actor` are of this process's seeds; `folder` is the run's.

        `references` are the dataset's own reference returns.
        """
        self.evaluator = evaluator
        self.actor = actor
        self.config = config
        self.folder = folder
        self.references = references

    def run(self, learner: PerSeed, step: int) -> Evaluation:
        """Evaluate the policies after the update `step`.

        Raises RunError, which says how to repeat this, if an environment fails.
        """
        episodes = self._episodes(learner, step)
        tally = faults.tally(self.evaluator.faults, self.evaluator.seeds)
        episodes, tally = processes.gather((episodes, tally))
        episodes = silent_as_failures(episodes)
        metrics, warnings = means(episodes, self.evaluator.env_id, self.references), []
        for kind, counts in tally.items():
            if counts.any():
                metrics[f"evaluation/nonfinite_{kind}s"] = counts[:, 0]
                warnings.append(faults.describe(kind, counts, self.config.seeds, self.config.position(step)))
        return Evaluation(episodes, metrics, warnings)

    def _episodes(self, learner: PerSeed, step: int) -> Episodes:
        """Play the episodes of this process's seeds."""
        policies = self.actor.policies(learner)
        try:
            return processes.all_or_none(lambda: self.evaluator.evaluate(policies, step))
        except RunError as error:
            raise RunError(
                f"{error} All is saved up to {self.config.position(step)}; cocoa.load_policy loads its "
                f"policy. To repeat this evaluation and go on: {how_to_resume(self.folder, self.config)}"
            ) from error.__cause__
