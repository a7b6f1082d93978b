"""The library's front door: train an algorithm on a dataset, get a policy."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Mapping
from typing import Any

from cocoa.algos.base import Algorithm
from cocoa.anchors import ANCHORS, AnchorVariant, Seek, SeekerConfig
from cocoa.config.extensions import ALGORITHMS, ANCHOR_VARIANTS
from cocoa.config.presets import Preset, preset_notes
from cocoa.config.resolve import resolve, values_of
from cocoa.config.schema import Config, seeds_of
from cocoa.config.typed import field_types, suggest
from cocoa.data import Dataset, load
from cocoa.data.sources import DatasetName, dataset_name
from cocoa.dynamics.settings import Settings, passed_values
from cocoa.errors import ConfigError
from cocoa.runs import launch
from cocoa.runs.loading import in_environment
from cocoa.runs.pieces import Pieces, build_pieces
from cocoa.runs.policy import Policy, load_policy
from cocoa.runs.reevaluation import EPISODES, FinalEvaluation, evaluate_run


def fit(
    algorithm: Algorithm,
    dataset: Dataset | DatasetName,
    cocoa: AnchorVariant | str | bool | None = None,
    *,
    seeds: int | Iterable[int] = (0,),
    wandb: str = "off",
    **fields: Any,
) -> Policy:
    """Train `algorithm` on `dataset` and return the policy of the first seed.

    `dataset` is a `Dataset`, or what `load` takes. `cocoa=True` wraps the algorithm in compositional
    conservatism with the published anchors, the name of an anchor variant or an instance such as
    `cocoa.Seek(horizon=3)` with others. `seeds` is a number of seeds or the seeds themselves. The other
    fields are those of `Config`: `updates=100_000`, `eval_every=5000`, `runs_dir="runs"`,
    `dynamics="quick"`... Fields that are not passed, here or to the instances, are set by the presets of the
    dataset (configs/presets), if there are any, and the run says which. Presets belong to names of datasets:
    a file of the user's own has none. As on the command line the run gets a folder, which is
    `policy.folder`; `load_policy(folder, seed)` returns the policy of any seed.

    Raises a `UserError` that says what to do for every mistake in the data or the configuration.
    """
    config, presets = configuration(algorithm, dataset, cocoa, seeds=seeds, wandb=wandb, **fields)
    arrays = dataset if isinstance(dataset, Dataset) else None
    return load_policy(launch.run(config, arrays, preset_notes(config, presets)))


def pieces(
    algorithm: Algorithm,
    dataset: Dataset | DatasetName,
    cocoa: AnchorVariant | str | bool | None = None,
    **fields: Any,
) -> Pieces:
    """Return what a training loop of one's own is made of: transitions, networks, the map to observations.

    The arguments are those of `fit`. Models and anchors, where they are needed, are fitted or read from the
    cache, as in a run. Matrix products of the loop have the precision that JAX is configured for: inside of
    `jax.default_matmul_precision("highest")` that of `fit`. With the result `p`,

        algorithm.init(key, p.networks, p.data, updates)  # the state before the first update
        sample(p.data, key, size)  # a batch for algorithm.update
        p.scaling.to_environment(algorithm.act(state, p.observe(states)))  # actions in environment units

    `act` of an algorithm that is `sampled` takes a key as its third argument. Raises what `fit` does.
    """
    config, _ = configuration(algorithm, dataset, cocoa, **fields)
    data = dataset if isinstance(dataset, Dataset) else load(config.dataset, config.env)
    return build_pieces(config, in_environment(data, config.env))


def configuration(
    algorithm: Algorithm,
    dataset: Dataset | DatasetName,
    cocoa: AnchorVariant | str | bool | None = None,
    **fields: Any,
) -> tuple[Config, list[Preset]]:
    """Return the configuration with which `fit` trains, and the presets in it. Raises ConfigError."""
    _check_types(algorithm, dataset, cocoa)
    if isinstance(cocoa, str):
        choice = values_of("cocoa", cocoa)
        cocoa = ANCHOR_VARIANTS.find(choice["variant"])() if choice else None
    variant = Seek() if cocoa is True else cocoa or None
    _check_names(fields, algorithm, variant)
    values = {name: passed_values(x) if isinstance(x, Settings) else x for name, x in fields.items()}
    values["dataset"] = dataset.name if isinstance(dataset, Dataset) else dataset_name(dataset)
    ALGORITHMS.check(algorithm)
    values["algo"] = {"name": ALGORITHMS.reference(type(algorithm)), **passed_values(algorithm)}
    if variant:
        ANCHOR_VARIANTS.check(variant)
        values["cocoa"] = {"variant": ANCHOR_VARIANTS.reference(type(variant)), **passed_values(variant)}
    if isinstance(dynamics := fields.get("dynamics"), str):
        values["dynamics"] = values_of("dynamics", dynamics)
    return resolve(values)


def _check_names(fields: Iterable[str], algorithm: Algorithm, variant: AnchorVariant | None) -> None:
    """Raise ConfigError, with the way to pass it, for a name that is no keyword argument of `fit`."""
    known = _field_names(Config) - {"algo"}
    for field in fields:
        if field not in known:
            raise ConfigError(
                f"There is no field {field}.{_place_of(field, algorithm, variant) or suggest(field, known)}"
            )


def _place_of(field: str, algorithm: Algorithm, variant: AnchorVariant | None) -> str:
    """Return how to pass a field that is none of `fit`'s, or an empty text."""
    if field == "algo":
        return " The algorithm is the first argument."
    if field == "resume":
        return " Resume a run by cocoa.resume(folder)."
    owner, _, name = field.rpartition(".")
    variants = [type(variant)] if variant else [Seek, *ANCHORS.values()]
    anchors = next((cls for cls in variants if name in _field_names(cls)), Seek)
    holders: dict[str, tuple[type, str]] = {
        "algo": (type(algorithm), f"{type(algorithm).__name__}({name}=...), the first argument"),
        "cocoa": (anchors, f"cocoa=cocoa.{anchors.__name__}({name}=...)"),
        "cocoa.seeker": (SeekerConfig, f'cocoa=cocoa.Seek(seeker={{"{name}": ...}})'),
    }
    for group, cls in field_types(Config).items():
        if dataclasses.is_dataclass(cls) and group != "algo":
            holders[group] = cls, f'{group}={{"{name}": ...}}'  # type: ignore[assignment]
    ways = [
        way for holder, (cls, way) in holders.items() if owner in ("", holder) and name in _field_names(cls)
    ]
    return f" Pass it as {' or as '.join(ways)}." if ways else ""


def _field_names(cls: type) -> set[str]:
    return {field.name for field in dataclasses.fields(cls)}


def _check_types(algorithm: Any, dataset: Any, cocoa: Any) -> None:
    """Raise ConfigError for arguments of other types than `fit` takes."""
    for cls in (algorithm, cocoa):
        if isinstance(cls, type) and issubclass(cls, Algorithm | AnchorVariant):
            raise ConfigError(f"{cls.__name__} is a class: pass an instance, {cls.__name__}().")
    if not isinstance(algorithm, Algorithm):
        raise ConfigError(
            f"The algorithm is {algorithm!r}; pass an instance of one, such as cocoa.IQL() or "
            "cocoa.CQL(weight=10.0)."
        )
    if not isinstance(dataset, Dataset | str | os.PathLike | list | tuple):
        raise ConfigError(
            f"The dataset is of the type {type(dataset).__name__}; pass its name, the path of a file, a "
            "list of these, or arrays as cocoa.Dataset.from_arrays(...)."
        )
    if not isinstance(cocoa, AnchorVariant | str | bool | None):
        raise ConfigError(
            f"cocoa={cocoa!r} is not possible: pass True, the name of a variant, or an instance such as "
            "cocoa.Seek()."
        )


def resume(
    folder: str | os.PathLike[str],
    dataset: Dataset | DatasetName | None = None,
    devices: int | None = None,
    updates: int | None = None,
    trust: bool = False,
    online: Mapping[str, Any] | None = None,
) -> Policy:
    """Resume a run or, with `updates` or `online`, train a finished one further; return its policy.

    `dataset` is needed if the run was started with a `Dataset`, or if its file has moved: then it is the name
    or path under which the same file is now. `devices` may be other than before. `updates` is the number of
    updates in all, `online={"steps": 100_000}` has fields of the stage in the environment that comes after
    them. `trust` allows importing the module of an algorithm or environment that the run's
    configuration names as `module:name`, which runs its code.

    Raises RunError if the data are not those of the run, and another `UserError` that says what to do if it
    cannot go on.
    """
    launch.resume(os.fspath(folder), dataset, devices, updates=updates, online=online, trust=trust)
    return load_policy(folder, trust=trust)


def evaluate(
    folder: str | os.PathLike[str],
    episodes: int = EPISODES,
    seeds: int | Iterable[int] | None = None,
    trust: bool = False,
) -> FinalEvaluation:
    """Play many episodes of the last policies of a run in its environment, and return them.

    They are kept in the run's final_evaluation.csv, and their means in its summary.json; episodes that are
    there already are not played again. They start from other states than the evaluations of the training,
    the same for all runs that have the seed. `seeds` are by default those of the run. `trust` is as in
    `load_policy`.

    Raises RunError if the run has no environment, no checkpoint or no such seed, is in use, or its
    environment fails.
    """
    return evaluate_run(folder, episodes, None if seeds is None else seeds_of(seeds), trust)
