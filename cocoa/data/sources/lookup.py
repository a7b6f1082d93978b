"""From the name of a dataset to its source."""

from __future__ import annotations

import os
from difflib import get_close_matches
from importlib.metadata import entry_points
from typing import Any

from cocoa.data.dataset import Dataset
from cocoa.data.sources.base import SOURCES, DatasetSource, is_prefix
from cocoa.data.sources.files import FileSource
from cocoa.data.sources.hints import hint
from cocoa.data.sources.names import DatasetName, dataset_name
from cocoa.data.sources.shipped import SHIPPED
from cocoa.data.validation import warn
from cocoa.errors import DataError, shown

FILES = FileSource()
"""Answers to what no registered source does."""


def load(dataset: DatasetName, env: str | None = None) -> Dataset:
    """Load a dataset by its name, or the path of a file in D4RL's format; of a list, all as one.

    Names are those of the registered sources: shipped datasets, D4RL's, and what `register_source` adds. The
    environment is `env`, else what the file's attributes name, else D4RL's; it bounds the actions (without
    one, by -1 and 1) and checks the sizes of observations and actions.

    - A stored `next_observations` is used in every row.
    - Without it the next row's observation is taken. The last step of an episode then has none: it is kept if
      it is terminal, since its target does not look at it, and dropped otherwise.
    - An episode ends at `terminals`, at `timeouts`, at the end of each file, and where a stored next
      observation is not, up to rounding, the next row's observation. Where both flags are set, the step is
      terminal.
    - Without `timeouts`, such a break in the observations counts as a time limit; without `next_observations`
      as well, episodes are cut after the environment's time limit, as D4RL does, if it is known.
    - Where there are `masks` other than the opposite of `terminals`, they tell what is terminal, by 0, and
      such a step need not end the episode; `terminals` only end episodes then, and nothing is cut at the
      environment's time limit.

    The flags may have other names in a file: `terminations`, `truncations`, `dones` and the like. A next
    observation that is NaN or infinite in a terminal row is unknown, as if it were not stored.

    Raises DataError, naming the file, the key and the row, if the data cannot be found or trusted.
    """
    name = dataset_name(dataset)
    return find_source(name).read(name, env)


def find_source(name: str) -> DatasetSource:
    """Return the source that reads the dataset of a name or path.

    Raises DataError if there is none, with what the name looks like or the nearest names, ConfigError for a
    path in a home folder that does not exist.
    """
    if _is_foreign(name):
        import_installed(name=name.partition(":")[0])
    source = registered_source(name)
    if source:
        return source
    if not FILES.finds(name) and (looks_like := hint(name)):
        raise DataError(f"There is no dataset {shown(repr(name))}. {looks_like}")
    if _is_foreign(name):
        raise DataError(
            f"No source of datasets is registered for {shown(repr(name))}. Import the module that registers "
            f"one for {name.partition(':')[0]}: with cocoa.register_source before; on the command line, "
            "algo=module:Class and env=module:Id import theirs."
        )
    if FILES.answers(name):
        return FILES
    names = [known for source in SOURCES for known in source.names()]
    near = get_close_matches(name, names, n=4, cutoff=0.5) or SHIPPED
    raise DataError(
        f"Dataset {shown(repr(name))} is neither a known name nor a file. The nearest names are "
        f"{', '.join(near)}; a file is given by its path, ending in .hdf5, .h5 or .npz."
    )


def registered_source(name: str) -> DatasetSource | None:
    """Return the registered source that answers to a name, or None, as for a path."""
    return next((source for source in SOURCES if source.answers(name)), None)


def from_anywhere(name: str) -> str:
    """Return what finds the same dataset from any working directory: a name, or a file's absolute path."""
    if _is_foreign(name):
        return name
    return (registered_source(name) or FILES).from_anywhere(name)


def import_installed(**chosen: Any) -> None:
    """Import what installed packages offer as entry points of the group cocoa.datasets: all, or those chosen.

    `name` is the prefix of a source without its colon. A module that cannot be imported is warned of.
    """
    for point in entry_points(group="cocoa.datasets", **chosen):
        try:
            point.load()
        except Exception as error:  # whatever a user's module raises
            reason = f"{type(error).__name__}: {shown(error)}"
            warn(f"{point.value}, a source of datasets for {point.name}:, cannot be imported ({reason}).")


def _is_foreign(name: str) -> bool:
    """Return whether a name is one of a source that is not registered, by its prefix."""
    prefix, colon, _ = name.partition(":")
    known = registered_source(name) is not None or os.path.lexists(name)
    return is_prefix(prefix + colon) and not known
