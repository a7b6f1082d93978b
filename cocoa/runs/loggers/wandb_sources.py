"""Which W&B runs a training has, and how each is opened."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cocoa.config.schema import Config
from cocoa.runs.loggers.wandb_environment import NamedRun, process_settings
from cocoa.runs.yaml import read_values

_SETTINGS = {
    "console": "off",
    "init_timeout": 6.0,
    "finish_timeout": 30.0,
    "finish_timeout_raises": True,
}
"""W&B's settings, where the environment does not set them otherwise."""


@dataclass(frozen=True)
class Source:
    """Which numbers a W&B run gets: those of the seed at `index`, or with None the means over all seeds."""

    index: int | None
    run_id: str
    name: str
    named: NamedRun | None = None
    """Set if the environment names this run."""

    def value(self, values: Any) -> float:
        """Return the number to log for a number or an array (seeds,)."""
        array = np.asarray(values, float)
        return float(array.mean() if array.ndim == 0 or self.index is None else array[self.index])

    def seeds(self, seeds: Sequence[int]) -> Sequence[int]:
        """Return those of a run's seeds that this W&B run is about."""
        return seeds if self.index is None else [seeds[self.index]]


def sources(config: Config, folder: Path, title: str, named: NamedRun | None) -> Iterator[Source]:
    """Yield the W&B runs of a training, the one that the environment names last."""
    if named and len(config.seeds) == 1:
        yield Source(0, named.run_id, title, named)
        return
    for index, seed in enumerate(config.seeds):
        yield Source(index, _identity(folder, seed), f"{title} seed {seed}")
    if named:
        yield Source(None, named.run_id, f"{title} mean of {len(config.seeds)} seeds", named)


def init(source: Source, env_settings: Any, mode: str, **arguments: Any) -> Any:
    """Open a W&B run with these arguments of `wandb.init`."""
    import wandb

    named = source.named
    if named:
        shared = {"project": named.project or arguments["project"], "entity": named.entity}
        shared |= {"run_id": source.run_id, "sweep_id": named.sweep_id}
        shared |= {"sweep_param_path": env_settings.sweep_param_path}
        arguments |= {"project": None, "entity": None, "resume": env_settings.resume or "allow"}
    else:
        shared = {"sweep_id": None, "sweep_param_path": None, "run_id": None, "launch": False}
    arguments["job_type"] = arguments["job_type"] or ("mean" if source.index is None else "train")
    own = {**_SETTINGS, "x_disable_stats": source.index != 0}  # of the machine, which the seeds share
    own = {key: value for key, value in own.items() if key not in env_settings.model_fields_set}
    with process_settings(**shared):
        return wandb.init(
            id=None if named else source.run_id,
            name=source.name,
            mode=mode,  # type: ignore[arg-type]
            reinit="create_new",
            settings=wandb.Settings(base_url=env_settings.base_url, silent=True, **own),
            **{"resume": "allow", **arguments},
        )


def _identity(folder: Path, seed: int) -> str:
    """Return W&B's id of a seed: the same when its run goes on, another for another run in the folder."""
    changing = dict.fromkeys(("updates", "online", "dataset"))  # when a run goes on
    config = read_values(folder) | changing
    return hashlib.sha256(f"{folder.resolve()} {seed} {json.dumps(config)}".encode()).hexdigest()[:16]
