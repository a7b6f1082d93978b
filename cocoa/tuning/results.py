"""What a search found: a table of its trials, and the best settings as a command and a file."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml
from optuna.trial import FrozenTrial, TrialState

from cocoa.config.compose import parse
from cocoa.config.program import program
from cocoa.storage.files import atomic_write
from cocoa.studies.table import aligned
from cocoa.tuning.figure import draw
from cocoa.tuning.plan import tuning_folder
from cocoa.tuning.trials import COMMAND, UNIT, WHY, best_of, last_value, read_trials

WORDS = {
    TrialState.COMPLETE: "finished",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "open",
    TrialState.WAITING: "open",
}
"""The states of trials as the user reads them; open ones are being trained, or go on with the next launch."""
_ORDER = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING, TrialState.WAITING, TrialState.FAIL)


def report(study: Path) -> str:
    """Return the results of the search in a study's folder as text; write its figure and its best settings.

    Raises RunError if there is no search in the folder, or none of its files can be written.
    """
    trials = read_trials(study)
    parts = [_table(trials), *_reasons(trials), _counts(trials)]
    if best := best_of(trials):
        file = tuning_folder(study) / "best.yaml"
        atomic_write(file, _yaml(study, best).encode())
        value = f"{best.user_attrs[UNIT]} {best.values[0]:.1f}"
        parts += [
            f"Best: trial {best.number + 1}, {value}\n\n    {program()} {_command(best)}\n",
            f"As a file: {file}, for {program()} -m {file}\nFigure: {draw(study, trials)}",
        ]
    return "\n".join(parts)


def _table(trials: Sequence[FrozenTrial]) -> str:
    """Return a line for each trial, the best first."""
    fields = list(dict.fromkeys(name for trial in trials for name in trial.params))
    rows = [("trial", "state", "value", "updates", *fields)]
    for trial in sorted(trials, key=_rank):
        value = last_value(trial)
        at = "all" if trial.state == TrialState.COMPLETE else f"{max(trial.intermediate_values, default=0):,}"
        cells = (str(trial.number + 1), WORDS[trial.state], "" if value is None else f"{value:.1f}", at)
        rows.append((*cells, *(_shown(trial.params.get(name, "")) for name in fields)))
    return "\n".join(aligned(rows))


def _rank(trial: FrozenTrial) -> tuple[int, float]:
    value = last_value(trial)
    return _ORDER.index(trial.state), 0.0 if value is None else -value


def _shown(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _reasons(trials: Sequence[FrozenTrial]) -> Iterator[str]:
    """Yield why trials failed."""
    for trial in trials:
        if trial.state == TrialState.FAIL:
            yield f"Trial {trial.number + 1} failed: {trial.user_attrs.get(WHY, '')}"


def _counts(trials: Sequence[FrozenTrial]) -> str:
    counts = Counter(WORDS[trial.state] for trial in trials)
    return f"\nTrials: {', '.join(f'{count} {word}' for word, count in counts.items()) or 'none yet'}"


def _words(trial: FrozenTrial) -> list[str]:
    """Return the arguments of a trial's run, but for the study that it is of."""
    words = shlex.split(trial.user_attrs[COMMAND])
    return [word for word in words if not word.startswith(("study=", "runs_dir="))]


def _command(trial: FrozenTrial) -> str:
    return shlex.join(_words(trial))


def _yaml(study: Path, trial: FrozenTrial) -> str:
    """Return the settings of a trial as the file of a study of one run."""
    values = {override.key_or_group: override.value() for override in parse(_words(trial))}
    values = {name: [value] if isinstance(value, list) else value for name, value in values.items()}
    note = f"# Trial {trial.number + 1} of the search in {study}, value {trial.values[0]:.6g}\n"
    return note + yaml.safe_dump({"study": f"{study.name}-best", **values}, sort_keys=False)
