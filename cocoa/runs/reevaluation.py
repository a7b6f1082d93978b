"""The final evaluation of a run: its last policies play many episodes that its training did not see."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cocoa.config.schema import Config
from cocoa.data.scores import References
from cocoa.dynamics.xla.numerics import numerics
from cocoa.environments.spaces import require_installed
from cocoa.errors import ConfigError, RunError
from cocoa.runs.console import Console
from cocoa.runs.episodes import HEADER, read_episodes, rows_of
from cocoa.runs.evaluations import means, silent_as_failures
from cocoa.runs.folder import find_run, locked, read_config
from cocoa.runs.policy import Learners, load_learners, position_of
from cocoa.runs.progress import TrainingBar
from cocoa.runs.summary import block, read_summary, write_summary
from cocoa.storage.files import atomic_write
from cocoa.training import faults
from cocoa.training.devices import host_mesh, start_backend
from cocoa.training.episodes import Policy, SampledPolicy
from cocoa.training.evaluation import FINAL, Actor, Episodes, Evaluator

FILE = "final_evaluation.csv"
"""The file in a run's folder that holds the episodes, with the columns of episodes.csv."""
BLOCK = "final_evaluation"
"""The name of the block of summary.json."""
EPISODES = 1000
"""How many are played by default."""
_AT_ONCE = 25
"""Episodes of a policy that are played side by side."""


@dataclass(frozen=True, eq=False)
class FinalEvaluation:
    """The episodes of a run's last policies."""

    folder: Path
    """Of the run."""
    step: int
    """Where the run was when they were saved, as its metrics count: updates, then environment steps."""
    seeds: tuple[int, ...]
    """The seeds whose policies were played."""
    episodes: Episodes
    """(seeds, episodes) each."""


def evaluate_run(
    folder: str | os.PathLike[str],
    episodes: int = EPISODES,
    seeds: Sequence[int] | None = None,
    trust: bool = False,
) -> FinalEvaluation:
    """Play `episodes` episodes of each of the last policies of the run in `folder`, in its environment.

    Writes them to final_evaluation.csv there, in place of those of an earlier final evaluation, and their
    means to the block `final_evaluation` of summary.json. `seeds` are those of the run by default. Nothing is
    played if these episodes are there already. The states from which they start are functions of the seed and
    the number of the episode, the same for all runs, and other ones than those of the evaluations in the
    training. `trust` is as in `load_policy`.

    Raises RunError if the run has no environment, no checkpoint or no such seed, if another process trains
    it, or if the environment fails; ConfigError for a number of episodes below 1.
    """
    run = find_run(folder)
    config = read_config(run, trust)
    if episodes < 1:
        raise ConfigError(f"episodes={episodes} must be at least 1.")
    if config.env is None:
        raise RunError(
            f"{run} names no environment in which its policies could be evaluated. Compare such runs by "
            "`cocoa select`."
        )
    require_installed(config.env)
    chosen = tuple(config.seeds if seeds is None else seeds)
    rows = [position_of(seed, config, run) for seed in chosen]
    with locked(run), numerics():
        start_backend()
        learners = load_learners(run, config)
        if done := _read(run, learners.step, chosen, episodes):
            return done
        played = _play(config, learners, chosen, rows, episodes, Console(run).say)
        final = FinalEvaluation(run, learners.step, chosen, played)
        _write(final, config.env)
    return final


def _play(
    config: Config,
    learners: Learners,
    seeds: Sequence[int],
    rows: Sequence[int],
    episodes: int,
    say: Callable[[str], None],
) -> Episodes:
    """Play the policies in these rows of the learners, one after the other."""
    actor = Actor(config.algo, learners.interface.observe, host_mesh())
    policies = actor.policies(learners.learner)
    parts, odd = [], []
    with contextlib.closing(TrainingBar(len(seeds) * episodes, 0, unit=" episodes")) as bar:
        for seed, row in zip(seeds, rows, strict=True):
            evaluator = Evaluator(config.env or "", (seed,), _AT_ONCE, learners.interface.scaling)
            with contextlib.closing(evaluator):
                parts.append(_of_policy(evaluator, policies[row], episodes, odd, bar))
    for kind, counts in faults.tally(odd, seeds).items():
        if counts.any():
            say(faults.describe(kind, counts, seeds, config.position(learners.step)))
    return silent_as_failures(Episodes(*(np.concatenate(values) for values in zip(*parts, strict=True))))


def _of_policy(
    evaluator: Evaluator,
    policy: Policy | SampledPolicy,
    episodes: int,
    odd: list[faults.Fault],
    bar: TrainingBar,
) -> Episodes:
    """Play the episodes of one policy, (1, episodes); what is not finite is added to `odd`."""
    parts = []
    for first in range(0, episodes, evaluator.episodes):
        parts.append(evaluator.evaluate([policy], FINAL, first, episodes - 1))
        odd += evaluator.faults
        bar.advance(parts[-1].returns.size, {})
    return Episodes(*(np.concatenate(values, axis=1) for values in zip(*parts, strict=True)))


def _read(folder: Path, step: int, seeds: tuple[int, ...], episodes: int) -> FinalEvaluation | None:
    """Return the final evaluation in a run's folder, if it is that of these policies and episodes."""
    with contextlib.suppress(RunError, KeyError, TypeError):  # there is none, or it is damaged
        if read_summary(folder)[BLOCK]["step"] != step:
            return None
        stored = read_episodes(folder / FILE)[step]
        if tuple(stored) == seeds and all(len(values) == episodes for values in stored.values()):
            returns, lengths, successes = np.moveaxis(np.array([*stored.values()]), -1, 0)
            return FinalEvaluation(folder, step, seeds, Episodes(returns, lengths.astype(int), successes))
    return None


def _write(final: FinalEvaluation, env: str) -> None:
    """Write the episodes and, when they are there, their means."""
    summary = read_summary(final.folder)
    rows = rows_of(final.step, final.episodes, final.seeds)
    atomic_write(final.folder / FILE, (HEADER + rows).encode())
    count = final.episodes.returns.shape[1]
    blocks: dict[str, Any] = {"step": final.step, "episodes": count, "seeds": list(final.seeds)}
    for name, values in means(final.episodes, env, _references(summary)).items():
        blocks[name.removeprefix("evaluation/")] = block(values)
    write_summary(final.folder, summary | {BLOCK: blocks})


def _references(summary: dict[str, Any]) -> References | None:
    """Return the dataset's own reference returns, as a run's summary has them."""
    values = summary.get("reference_returns")
    return (float(values[0]), float(values[1])) if values else None
