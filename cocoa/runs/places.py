"""The folders in which runs are made: one for each dataset, and in it one for each method."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

import filelock

from cocoa.config.schema import Config
from cocoa.data.sources import is_list, label, registered_source
from cocoa.errors import RunError
from cocoa.storage.files import atomic_write, expanded, read_regular, write_error

OWNER = "dataset.json"
"""The file in a dataset's folder that says which dataset it belongs to."""


def method(config: Config) -> str:
    """Return what the runs of the algorithm and variant of a configuration are called."""
    return method_name(config.algo.name, config.variant)


def method_name(algo: str, variant: str | None) -> str:
    """Return the algorithm's name, with +cocoa, and its variant unless it is the published one."""
    return algo + {None: "", "seek": "+cocoa"}.get(variant, f"+cocoa-{variant}")


def folder_name(text: str) -> str:
    """Return a text as the name of one visible folder, without anything that is special in a path."""
    return re.sub(r"[^\w.+=, -]", "_", text).strip(" .")[:100] or "dataset"


def study_folder(config: Config) -> Path:
    """Return the folder that holds the folders of all datasets: that of the study, if the run is of one."""
    folder = expanded(config.runs_dir, "runs_dir")
    return folder / config.study if config.study else folder


def run_parent(config: Config, sha256: str) -> Path:
    """Return the folder that holds all runs of the method on the dataset whose hash is `sha256`."""
    return _dataset_folder(config, sha256) / folder_name(method(config))


def _dataset_folder(config: Config, sha256: str) -> Path:
    """Return the folder that holds all runs on a dataset, and note there whose it is.

    It is called after the dataset's name or file or, if runs on other data have that folder, after the file
    and the folder that it is in, or else with the hash of the data. Raises RunError if it cannot be made.
    """
    path = Path(config.dataset)
    named = registered_source(config.dataset) is not None
    stem = label(config.dataset) if is_list(config.dataset) else config.dataset if named else path.stem
    within = [f"{path.parent.name}-{stem}"] if path.parent.name and not named else []
    folders = [study_folder(config) / folder_name(name) for name in (stem, *within, f"{stem}-{sha256[:12]}")]
    for folder in folders:
        if _claimed(folder, {"dataset": config.dataset, "sha256": sha256}):
            return folder
    raise RunError(f"{folders[-1]} holds runs on other data, as its {OWNER} says. Choose another runs_dir=.")


def _claimed(folder: Path, owner: Mapping[str, str]) -> bool:
    """Return whether the folder belongs to a dataset, after taking it if it belongs to none."""
    note = folder / OWNER
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not note.exists():
            with filelock.FileLock(folder / ".lock"):
                if not note.exists():
                    atomic_write(note, (json.dumps(owner, indent=2) + "\n").encode())
    except OSError as error:
        raise write_error(folder, error) from error
    try:
        return json.loads(read_regular(note, limit=2**20))["sha256"] == owner["sha256"]
    except (OSError, ValueError, KeyError, TypeError):  # damaged: nobody knows whose it is
        return False
