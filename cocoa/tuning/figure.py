"""The figure of a search: its history, what mattered, and the value against each field."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import optuna
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState

from cocoa.errors import escaped
from cocoa.runs.plots import ANCHOR, DELTA, STATE, save
from cocoa.tuning.plan import tuning_folder
from cocoa.tuning.trials import UNIT, last_value

_PANELS = 3
"""In a row."""
_MOST_FIELDS = 12
_LEAST_TRIALS = 4
"""Finished ones from which importances are estimated."""


def draw(study: Path, trials: Sequence[FrozenTrial]) -> Path:
    """Draw the trials of the search in a study's folder, one of them finished; return the PNG."""
    finished = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    fields, unit = list(finished[0].distributions)[:_MOST_FIELDS], finished[0].user_attrs[UNIT]
    rows = 1 + -(-len(fields) // _PANELS)
    figure = Figure(figsize=(3.6 * _PANELS, 2.9 * rows + 0.3), layout="constrained")
    figure.suptitle(escaped(f"Search {study.name}"), fontsize=11, parse_math=False)
    grid = figure.add_gridspec(rows, _PANELS)
    history = figure.add_subplot(grid[0, :2])
    _history(history, trials)
    history.set_ylabel(unit)
    _importances(figure.add_subplot(grid[0, 2]), study, finished)
    for number, name in enumerate(fields):
        row, column = divmod(number, _PANELS)
        axes = figure.add_subplot(grid[1 + row, column], sharey=history)
        _slice(axes, name, trials)
        axes.set_ylabel(unit if column == 0 else "")
    path = tuning_folder(study) / "search.png"
    save(figure, path)
    return path


def _history(axes: Axes, trials: Sequence[FrozenTrial]) -> None:
    """Draw the value of each trial, and the best so far as a line."""
    _scatter(axes, trials, [trial.number + 1 for trial in trials])
    finished = [(trial.number + 1, trial.values[0]) for trial in trials if trial.state == TrialState.COMPLETE]
    numbers, values = np.array(finished).T
    steps, best = [*numbers, len(trials)], np.maximum.accumulate([*values, values.max()])
    axes.plot(steps, best, color=STATE, drawstyle="steps-post", label="best so far")
    failed = [trial.number + 1 for trial in trials if trial.state == TrialState.FAIL]
    if failed:
        low = axes.get_ylim()[0]
        axes.scatter(failed, [low] * len(failed), color="0.4", marker="x", label="failed", clip_on=False)
    axes.set_xlabel("trial")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False, fontsize=8)
    axes.grid(alpha=0.25)


def _importances(axes: Axes, study: Path, finished: Sequence[FrozenTrial]) -> None:
    """Draw the share of the values' variance that each field explains (fANOVA, Hutter et al., 2014)."""
    axes.set_title(f"Importance, of {len(finished)} finished trials", fontsize=10)
    shares = importances(finished)
    if not shares:
        axes.text(0.5, 0.5, "too few trials", ha="center", va="center", transform=axes.transAxes)
        axes.set_axis_off()
        return
    names = list(reversed(shares))
    axes.barh([_short(name) for name in names], [shares[name] for name in names], color=STATE)
    axes.set_xlim(0, 1)
    axes.set_xlabel("share of the variance")
    axes.grid(axis="x", alpha=0.25)


def importances(finished: Sequence[FrozenTrial]) -> dict[str, float]:
    """Return the importance of each field, the largest first; empty with too few trials or equal values.

    It is the share of the variance of the value that the field explains by itself (fANOVA, Hutter et al.,
    2014), normalized to a sum of 1.
    """
    if len(finished) < _LEAST_TRIALS or np.ptp([trial.values[0] for trial in finished]) == 0:
        return {}
    study = optuna.create_study(direction="maximize")
    study.add_trials(finished)
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    return optuna.importance.get_param_importances(study, evaluator=evaluator)


def _slice(axes: Axes, name: str, trials: Sequence[FrozenTrial]) -> None:
    """Draw the values of the trials against a field."""
    trials = [trial for trial in trials if name in trial.params]
    spread = trials[0].distributions[name]
    if isinstance(spread, CategoricalDistribution):
        choices = list(spread.choices)
        _scatter(axes, trials, [choices.index(trial.params[name]) for trial in trials])
        axes.set_xticks(range(len(choices)), [_shortened(str(choice)) for choice in choices], fontsize=8)
        axes.set_xlim(-0.5, len(choices) - 0.5)
    else:
        assert isinstance(spread, IntDistribution | FloatDistribution)
        axes.set_xscale("log" if spread.log else "linear")
        _scatter(axes, trials, [trial.params[name] for trial in trials])
        for end in (spread.low, spread.high):  # where the best are there, the range is too narrow
            axes.axvline(end, color="0.6", linestyle=":", linewidth=1)
    axes.set_xlabel(_short(name))
    axes.grid(alpha=0.25)


def _scatter(axes: Axes, trials: Sequence[FrozenTrial], at: Sequence[float]) -> None:
    """Draw finished and pruned trials at these places of the horizontal axis."""
    for state, label, color, marker in (
        (TrialState.COMPLETE, "finished", ANCHOR, "o"),
        (TrialState.PRUNED, "pruned, last evaluation", DELTA, "v"),
    ):
        points = [(x, last_value(t)) for x, t in zip(at, trials, strict=True) if t.state == state]
        points = [(x, y) for x, y in points if y is not None]
        if points:
            axes.scatter(*zip(*points, strict=True), s=18, color=color, marker=marker, label=label, zorder=3)


def _short(name: str) -> str:
    return name.rpartition(".")[2]


def _shortened(text: str) -> str:
    return text if len(text) <= 14 else f"{text[:13]}…"
