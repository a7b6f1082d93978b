"""Several datasets of one environment as one."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from cocoa.data.dataset import Dataset
from cocoa.data.validation import warn
from cocoa.errors import DataError, shown

_FACTOR = 100  # between the largest rewards of two datasets that may have different units


def concatenated(datasets: list[Dataset], name: str) -> Dataset:
    """Return the transitions of all datasets, one after the other, as one dataset called `name`.

    The end of each is the end of an episode: cut, unless a flag is set there. Their environment is the one
    that any of them names; their validation splits are put together; their reference returns are kept if
    they are the same. `datasets` is emptied, so that their
    memory is free as soon as it is copied. Warns where two seem to be the same, or to have rewards of
    different units. Raises DataError if they are of different environments or sizes.
    """
    _check_sizes(datasets)
    env = common_environment([(data.name, data.env) for data in datasets])
    _warn_of_rewards(datasets)
    _warn_of_equal(datasets)
    parts = [vars(data if env is None or data.env else data.of_environment(env)).copy() for data in datasets]
    datasets.clear()
    first = 0
    for part in parts:
        part["episodes"] = part["episodes"] + np.int32(first)
        first += len(part["complete"])
    held_out = [part["validation"] for part in parts if part["validation"]]
    references = {part["reference_returns"] for part in parts}
    digests = tuple(part["sha256"] for part in parts)
    uncut = any(part["uncut"] for part in parts)
    arrays = [key for key, value in parts[0].items() if isinstance(value, np.ndarray)]
    columns = {key: np.concatenate([part.pop(key) for part in parts]) for key in arrays}
    for column in columns.values():
        column.flags.writeable = False
    return Dataset(
        name=name,
        env=env,
        uncut=uncut,
        validation=concatenated(held_out, name) if held_out else None,
        reference_returns=references.pop() if len(references) == 1 else None,
        member_sha256=digests,
        source_sha256=hashlib.sha256("\n".join(digests).encode()).hexdigest(),
        **columns,
    )


def common_environment(datasets: Sequence[tuple[str, str | None]]) -> str | None:
    """Return the environment of datasets, given by name and environment; None if none is known.

    Raises DataError if they have several.
    """
    named = {env: name for name, env in reversed(datasets) if env}
    if len(named) > 1:
        pairs = " and ".join(f"{shown(name)} is of {env}" for env, name in sorted(named.items()))
        raise DataError(
            f"{pairs}: they cannot be put together. If they are of one environment all the same, name it "
            "with env=."
        )
    return next(iter(named), None)


def _check_sizes(datasets: Sequence[Dataset]) -> None:
    first = datasets[0]
    for data in datasets[1:]:
        for key in ("observations", "actions"):
            sizes = getattr(first, key).shape[1], getattr(data, key).shape[1]
            if sizes[0] != sizes[1]:
                raise DataError(
                    f"{shown(first.name)} has {sizes[0]} numbers per row in `{key}`, and {shown(data.name)} "
                    f"{sizes[1]}: they are of different environments. Put together datasets of one."
                )


def _warn_of_rewards(datasets: Sequence[Dataset]) -> None:
    """Warn if the rewards of a dataset seem to be in other units than those of the first."""
    first = datasets[0]
    low, high = first.rewards.min(), first.rewards.max()
    for data in datasets[1:]:
        other_low, other_high = data.rewards.min(), data.rewards.max()
        largest = sorted((max(-low, high), max(-other_low, other_high)))
        apart = other_low > high or other_high < low
        sparse = [set(np.unique(d.rewards[:1_000_000]).tolist()) for d in (first, data)]
        differing = max(map(len, sparse)) <= 2 < len(sparse[0] | sparse[1])
        if apart or differing or largest[1] > _FACTOR * largest[0] > 0:
            warn(
                f"The rewards of {shown(first.name)} lie in [{low:g}, {high:g}] and those of "
                f"{shown(data.name)} in [{other_low:g}, {other_high:g}]. If one was scaled or shifted, put "
                "them together in the environment's own units: returns and values mean nothing otherwise."
            )


def _warn_of_equal(datasets: Sequence[Dataset]) -> None:
    known: dict[str, str] = {}
    for data in datasets:
        if data.sha256 in known:
            warn(
                f"{shown(data.name)} is the same data as {shown(known[data.sha256])}: its transitions are "
                "counted twice."
            )
        known.setdefault(data.sha256, data.name)
