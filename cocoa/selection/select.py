"""What recorded episodes say of the last policies of a run: selection.json in its folder."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from cocoa.algos.base import Batch
from cocoa.config.schema import Config
from cocoa.data import Dataset, reward_map, split, unnormalized_batch
from cocoa.dynamics.xla.numerics import numerics
from cocoa.errors import RunError
from cocoa.runs.folder import find_run, locked, read_config
from cocoa.runs.loading import in_environment, load_again
from cocoa.runs.policy import Learners, load_learners
from cocoa.runs.progress import TrainingBar
from cocoa.runs.summary import block, json_bytes
from cocoa.selection.estimate import behaviour, first_rows, fitted_values
from cocoa.selection.settings import Selection
from cocoa.storage.files import atomic_write, read_regular, reason
from cocoa.training.devices import offer_cores, start_backend

FILE = "selection.json"
"""The file in a run's folder that holds the estimates."""
ESTIMATES = ("fqe", "initial_value", "td_error")
"""The blocks of the file; all but the first are null where the algorithm has no critics."""
_LIMIT = 2**25


def select_run(
    folder: str | os.PathLike[str],
    settings: Selection | None = None,
    dataset: Dataset | None = None,
    trust: bool = False,
) -> dict[str, Any]:
    """Estimate what the last policies of the run in `folder` return, and write it to selection.json there.

    The result is what the file holds. Each of the `ESTIMATES` has a number for each seed, in the units of the
    environment's rewards: `fqe` is the mean over the first states of episodes of Q(s, π(s)), with Q fitted to
    recorded transitions; `initial_value` is the same of the algorithm's own critics; `td_error` is the mean
    square of their temporal-difference error. The episodes are those that the run holds out from training
    or, if it holds out none, all: `fitted_to` says which. A file of the same policies, data and settings is
    returned as it is. `dataset` is needed if the run was made with an object; `trust` is as in `load_policy`.

    Raises RunError if the run has no checkpoint, is in use, or has been made with other data, and the errors
    of reading its dataset.
    """
    settings = settings or Selection()
    run = find_run(folder)
    config = read_config(run, trust)
    with locked(run), numerics():
        offer_cores(None, len(config.seeds))
        start_backend()
        learners = load_learners(run, config)
        made_with = {
            "step": learners.step,
            "dataset_sha256": learners.dataset_sha256,
            "seeds": list(config.seeds),
            "settings": json.loads(json.dumps(asdict(settings))),
        }
        with contextlib.suppress(RunError):
            stored = read_selection(run)
            if made_with.items() <= stored.items():
                return stored
        dataset = load_again(config, run) if dataset is None else dataset
        if dataset.sha256 != learners.dataset_sha256:
            raise RunError(
                f"{config.dataset} has other data than {run} was made with. Put the old ones back."
            )
        selection = made_with | _estimates(config, learners, in_environment(dataset, config.env), settings)
        atomic_write(run / FILE, json_bytes(selection))
    return selection


def read_selection(folder: Path) -> dict[str, Any]:
    """Return the estimates in a run's folder. Raises RunError if they are missing or damaged."""
    path = folder / FILE
    try:
        selection = json.loads(read_regular(path, _LIMIT))
        if not all(isinstance(selection[name], Mapping | None) for name in ESTIMATES):
            raise ValueError("it holds no estimates")
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise RunError(f"{path} cannot be read ({reason(error)}). Write it by `cocoa select`.") from error
    return selection


def _estimates(config: Config, learners: Learners, dataset: Dataset, settings: Selection) -> dict[str, Any]:
    """Return all that selection.json holds but what identifies it."""
    start = time.monotonic()
    training, _ = split(dataset, config.data)  # whose scales the networks know
    _, held_out = split(dataset, replace(config.data, top_episodes=1.0))
    judged = held_out or dataset
    part = judged if settings.episodes == "held_out" else dataset

    def acts(data: Dataset) -> tuple[Batch, dict[str, np.ndarray]]:
        batch, _ = unnormalized_batch(data, config.data, training)
        return batch, behaviour(config.algo, learners.learner, learners.interface.observe, batch)

    batch, own = acts(judged)
    fitted, actions = (batch, own) if part is judged else acts(part)
    with contextlib.closing(TrainingBar(settings.updates, 0)) as bar:
        values = fitted_values(
            part, fitted, actions["next_action"], settings, lambda updates: bar.advance(updates, {})
        )
    rows = first_rows(judged)
    fqe = values(judged.observations[rows], own["action"][:, rows]).mean(axis=1)
    scale, _ = reward_map(training, config.data)
    has_critics = "value" in own
    return {
        "fitted_to": {
            "episodes": "held_out" if part is held_out else "all",
            "count": len(first_rows(part)),
            "transitions": len(part),
        },
        "initial_states": {"episodes": "held_out" if held_out else "all", "count": len(rows)},
        "fqe": block(fqe),
        "initial_value": block(_mean(own["value"][:, rows]) / scale) if has_critics else None,
        "td_error": block(_mean(own["td_error"]) / scale**2) if has_critics else None,
        "seconds": round(time.monotonic() - start, 1),
    }


def _mean(values: np.ndarray) -> np.ndarray:
    """Return the means (seeds,) over the last axis."""
    return values.mean(axis=-1, dtype=np.float64)
