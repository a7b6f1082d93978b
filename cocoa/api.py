"""The library's front door: train an algorithm on a dataset, get a policy."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from algos.base import Algorithm
from cocoa import experiment
from cocoa.config import CocoaConfig, Config, validate
from cocoa.data import Dataset
from cocoa.policy import Policy, load_policy


def fit(
    algorithm: Algorithm,
    dataset: Dataset | str | os.PathLike[str],
    cocoa: CocoaConfig | bool | None = None,
    *,
    seeds: int | Iterable[int] = (0,),
    wandb: str = "off",
    **fields: Any,
) -> Policy:
    """Train `algorithm` on `dataset` and return the policy of the first seed.

    `dataset` is a `Dataset`, or what `load` takes. `cocoa=True` wraps the algorithm in compositional
    conservatism with the published settings, a `CocoaConfig` with others. `seeds` is a number of seeds or the
    seeds themselves. The other fields are those of `Config`: `updates=100_000`, `eval_every=5000`,
    `runs_dir="runs"`... As on the command line the run gets a folder, which is `policy.folder`;
    `load_policy(folder, seed)` returns the policy of any seed.

    Raises a `UserError` that says what to do for every mistake in the data or the configuration.
    """
    wrapped = CocoaConfig() if cocoa is True else cocoa or None
    chosen = tuple(range(seeds)) if isinstance(seeds, int) else tuple(seeds)
    arrays = dataset if isinstance(dataset, Dataset) else None
    name = dataset.name if isinstance(dataset, Dataset) else os.fspath(dataset)
    config = Config(algorithm, wrapped, name, seeds=chosen, wandb=wandb, **fields)
    validate(config)
    return load_policy(experiment.run(config, arrays))


def resume(folder: str | os.PathLike[str], dataset: Dataset | None = None) -> Policy:
    """Go on with a run that was cut, and return its policy; `dataset` is needed if it was made of arrays."""
    return load_policy(experiment.resume(os.fspath(folder), dataset))
