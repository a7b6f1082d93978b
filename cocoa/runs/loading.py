"""The dataset of a run, and what is said before it is read or even downloaded."""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path

from cocoa.config.schema import Config
from cocoa.data import Dataset, load
from cocoa.data.sources import find_source, from_anywhere, is_list
from cocoa.environments.d4rl import ENVIRONMENTS
from cocoa.environments.spaces import spaces
from cocoa.errors import DataError, RunError
from cocoa.extras import require


def load_dataset(config: Config) -> tuple[Dataset, list[str]]:
    """Return the dataset that a configuration names, and the warnings that were printed.

    Raises a UserError before anything is downloaded where it is known that the dataset cannot be read, or
    that policies cannot be evaluated.
    """
    _check_before(config)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        try:
            dataset = load(config.dataset, config.env)
        finally:  # an error may follow from what the warnings are about
            lines = [f"Warning: {warning.message}" for warning in caught]
            print(*lines, sep="\n", end="\n" if lines else "", file=sys.stderr)
    return dataset, lines


def loadable(dataset: str) -> bool:
    """Return whether a run's dataset can be loaded: it was not passed as an object."""
    return from_anywhere(dataset) == dataset


def load_again(config: Config, folder: Path) -> Dataset:
    """Return the dataset that the run in `folder` began with. Raises a UserError that says how to name it."""
    if not loadable(config.dataset):
        raise RunError(
            f"The dataset of {folder} was passed as an object ({config.dataset}), which cannot be loaded. "
            "Resume in Python with the same cocoa.Dataset: cocoa.resume(folder, dataset)."
        )
    try:
        return load_dataset(config)[0]
    except DataError as error:
        missing = os.path.isabs(config.dataset) and not os.path.exists(config.dataset)
        if not missing and not is_list(config.dataset):
            raise
        raise DataError(
            f"{error} If the file has moved, say where it is now: resume <run> dataset=<its path>, or "
            "cocoa.resume(folder, path)."
        ) from error


def in_environment(dataset: Dataset, env: str | None) -> Dataset:
    """Return the dataset as one of the environment that the configuration names, if it names one."""
    return dataset if env in (None, dataset.env) else dataset.of_environment(env)


def differences(config: Config) -> list[str]:
    """Return a sentence on how the environment of a run's evaluations differs from D4RL's, if it does."""
    environment = ENVIRONMENTS.get(config.env or "") if config.eval_episodes else None
    if not (environment and environment.differences):
        return []
    return [f"Environment {environment.id} differs from D4RL's. {environment.differences}"]


def _check_before(config: Config) -> None:
    """Raise a UserError for a missing extra, or an environment that is wanted and cannot be made."""
    info = find_source(config.dataset).info(config.dataset)
    if info.extra:
        require(info.extra, f"Dataset {config.dataset}")
    env = config.env or (info.env if config.eval_episodes else None)
    if env:
        spaces(env)
