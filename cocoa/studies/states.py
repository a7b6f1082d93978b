"""How far a run of a study is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import filelock

from cocoa.errors import ConfigError, RunError
from cocoa.runs.checkpoint import read_position
from cocoa.runs.folder import checkpoint_path, read_config
from cocoa.runs.summary import read_summary
from cocoa.storage.files import file_sha256


@dataclass(frozen=True)
class State:
    """How far a run of a study is."""

    word: str
    """planned, running, cut, pruned, failed or finished."""
    updates: int = 0
    """Gradient updates made and saved, per seed."""
    summary: Mapping[str, Any] = field(default_factory=dict)
    """Of the run; empty if it cannot be read."""


def state_of(folder: Path | None) -> State:
    """Return how far the run in a folder is; None: it has not been started."""
    if folder is None:
        return State("planned")
    summary: Mapping[str, Any] = {}
    updates = 0
    try:
        summary = read_summary(folder)
        updates = read_position(checkpoint_path(folder), read_config(folder)).step
    except (RunError, ConfigError):  # not written yet, or damaged; the run tells when it goes on
        pass
    word = summary.get("status", "cut")
    if word not in ("finished", "failed", "pruned"):
        word = "running" if _held(folder) else "cut"
    return State(word, updates, summary)


def data_changed(summary: Mapping[str, Any]) -> bool:
    """Return whether a file that a run has read holds other bytes now; one that is gone has not changed."""
    return any(_other_bytes(file) for file in summary.get("dataset_files") or ())


def _other_bytes(file: Mapping[str, Any]) -> bool:
    path = Path(file["path"])
    if file["sha256"] is None or not path.is_file():
        return False
    stat = path.stat()
    return stat.st_size != file["bytes"] or _sha256(path, stat.st_mtime_ns) != file["sha256"]


@lru_cache
def _sha256(path: Path, _changed: int) -> str:
    return file_sha256(path)


def _held(folder: Path) -> bool:
    """Return whether a process is training the run in a folder."""
    try:
        with filelock.FileLock(folder / ".lock", blocking=False):
            return False
    except filelock.Timeout:
        return True
    except OSError:
        return False
