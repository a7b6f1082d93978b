"""The same sets as Minari's datasets, in Minari's own folder."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from cocoa.collection.card import References
from cocoa.collection.setup import Setup
from cocoa.data import Dataset
from cocoa.errors import RunError
from cocoa.storage.files import atomic_write

_WRITTEN = "minari.json"
_EPISODES = 200


def check_names(folder: Path, stems: Iterable[str]) -> None:
    """Raise RunError if Minari has datasets of these files' names that this folder has not written."""
    import minari  # an extra

    names = {_name(stem) for stem in stems}
    for name in sorted(names.intersection(minari.list_local_datasets()).difference(_written(folder))):
        raise RunError(f"Minari has a dataset {name} already. Remove it: minari delete {name}")


def write_minari(setup: Setup, path: Path, dataset: Dataset, references: References) -> None:
    """Write the set in the file `path`, read as `dataset`, unless this folder has written it already.

    Raises RunError if Minari has another dataset of that name.
    """
    import minari

    check_names(setup.folder, [path.stem])
    name = _name(path.stem)
    if name in minari.list_local_datasets():
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Minari asks for authors and for a link to code
        _write(name, setup, dataset, references)
    atomic_write(setup.folder / _WRITTEN, json.dumps([*_written(setup.folder), name]).encode())
    setup.say(f"Wrote {name} into Minari's folder: dataset=minari:{name}")


def _name(stem: str) -> str:
    return f"cocoa/{stem}-v0"


def _written(folder: Path) -> list[str]:
    """Return the names of the datasets that the folder has written."""
    note = folder / _WRITTEN
    return json.loads(note.read_text()) if note.exists() else []


def _write(name: str, setup: Setup, dataset: Dataset, references: References) -> None:
    import minari

    low, high = references.scale or (None, None)
    made: Any = None
    episodes = _episodes(dataset)
    for start in range(0, len(episodes), _EPISODES):
        buffer = [_buffer(dataset, *rows) for rows in episodes[start : start + _EPISODES]]
        if made is None:
            made = minari.create_dataset_from_buffers(
                name,
                buffer,
                env=setup.settings.env,
                algorithm_name="SAC",
                ref_min_score=low,
                ref_max_score=high,
                description=f"Collected by cocoa collect; the same rows as {dataset.name}.hdf5.",
            )
        else:
            made.update_dataset_from_buffer(buffer)


def _episodes(dataset: Dataset) -> list[tuple[int, int]]:
    """Return the first row of each episode and the row behind its last."""
    starts = np.flatnonzero(np.diff(dataset.episodes, prepend=-1))
    return list(zip(starts.tolist(), [*starts[1:].tolist(), len(dataset)], strict=True))


def _buffer(dataset: Dataset, start: int, end: int) -> Any:
    """Return the rows of an episode; one that nothing ends is cut by Minari's rules."""
    from minari.data_collector import EpisodeBuffer

    truncations = np.zeros(end - start, bool)
    truncations[-1] = not dataset.terminals[end - 1]
    return EpisodeBuffer(
        observations=np.concatenate(
            [dataset.observations[start:end], dataset.next_observations[end - 1 : end]]
        ),  # type: ignore[arg-type]
        actions=dataset.actions[start:end],  # type: ignore[arg-type]
        rewards=dataset.rewards[start:end],  # type: ignore[arg-type]
        terminations=dataset.terminals[start:end],  # type: ignore[arg-type]
        truncations=truncations,  # type: ignore[arg-type]
        infos={},
    )
