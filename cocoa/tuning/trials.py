"""The trials of a search in Optuna's storage, and what is read of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import optuna
from optuna.storages.journal import JournalFileBackend, JournalStorage
from optuna.trial import FrozenTrial, TrialState

from cocoa.errors import RunError
from cocoa.storage.files import reason
from cocoa.tuning.plan import read_search, tuning_folder

COMMAND, UNIT, WHY = "command", "unit", "why"
"""What is stored with a trial: its arguments, what its value is, why it has none."""


def open_study(study: Path, storage: str) -> optuna.Study:
    """Return Optuna's study of the search in a study's folder. Raises RunError if it cannot be read."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    folder = tuning_folder(study)
    try:
        if storage == "sqlite":
            trials = optuna.storages.RDBStorage(f"sqlite:///{folder.resolve() / 'trials.db'}")
        else:
            trials = JournalStorage(JournalFileBackend(str(folder / "trials.log")))
        return optuna.create_study(
            storage=trials, study_name=study.name, direction="maximize", load_if_exists=True
        )
    except Exception as error:  # of Optuna, SQLAlchemy, JSON
        raise RunError(f"The trials in {folder} cannot be read ({reason(error)}).") from error


def read_trials(study: Path) -> list[FrozenTrial]:
    """Return the trials of the search in a study's folder, in the order in which they began."""
    return open_study(study, read_search(study)["storage"]).get_trials(deepcopy=False)


def best_of(trials: Sequence[FrozenTrial]) -> FrozenTrial | None:
    """Return the finished trial with the highest value; None if none is finished."""
    finished = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    return max(finished, key=lambda trial: trial.values[0], default=None)


def last_value(trial: FrozenTrial) -> float | None:
    """Return a trial's value, or that of its last evaluation; None if it has none."""
    if trial.values:
        return trial.values[0]
    return trial.intermediate_values.get(max(trial.intermediate_values, default=0))
