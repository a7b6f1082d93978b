"""What is known of all datasets without reading them: what is here, and what each still needs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from cocoa.data.dataset import Dataset
from cocoa.data.sources.base import SOURCES, DatasetInfo
from cocoa.data.sources.lookup import FILES, import_installed, registered_source
from cocoa.data.sources.names import is_list, members
from cocoa.environments.d4rl import ENVIRONMENTS
from cocoa.environments.recorded import RECORDED
from cocoa.extras import missing


@dataclass(frozen=True)
class Entry:
    """A dataset that some source knows by name."""

    info: DatasetInfo

    @property
    def extras(self) -> tuple[str, ...]:
        """The extras that reading it and evaluating in its environment need."""
        known = ENVIRONMENTS.get(self.info.env or "") or RECORDED.get(self.info.env or "")
        needed = (self.info.extra, known.extra if known else None)
        return tuple(dict.fromkeys(extra for extra in needed if extra))

    @property
    def missing(self) -> tuple[str, ...]:
        """Those of `extras` that are not installed."""
        return tuple(extra for extra in self.extras if missing(extra))

    @property
    def differences(self) -> str:
        """What its environment does not do as D4RL's, in one sentence; empty: nothing known."""
        environment = ENVIRONMENTS.get(self.info.env or "")
        return environment.differences if environment else ""


def catalog(pattern: str = "") -> list[Entry]:
    """Return the datasets that all sources list whose name has `pattern` in it or matches it.

    If there is none, those whose environment does. A pattern with `*`, `?` or `[` is one of the shell's.
    Nothing is downloaded.
    """
    wanted = pattern if any(char in pattern for char in "*?[") else f"*{pattern}*"
    entries = [Entry(info) for info in _known()]
    named = [entry for entry in entries if fnmatchcase(entry.info.name, wanted)]
    return named or [entry for entry in entries if fnmatchcase(entry.info.env or "", wanted)]


def loaded_files(dataset: Dataset, name: str) -> list[dict[str, Any]]:
    """Return the path, bytes, SHA-256 and URL of each file of a dataset that was loaded by its name.

    The checksum or the URL is None where it is not known. There is no file of a dataset that was passed as an
    object.
    """
    names = members(name) if is_list(name) else [name]
    infos = [(registered_source(member) or FILES).info(member) for member in names]
    if not all(info.cached for info in infos):
        return []
    digests = dataset.member_sha256 or (dataset.sha256,)
    return [
        entry for info, sha256 in zip(infos, digests, strict=True) for entry in _loaded_files(info, sha256)
    ]


def _loaded_files(info: DatasetInfo, dataset_sha256: str) -> Iterator[dict[str, Any]]:
    one = len(info.files) == 1
    for file, origin in zip(info.files, info.origins or (None,) * len(info.files), strict=True):
        sha256 = dataset_sha256 if one else origin and origin.sha256
        url = origin.url if origin and origin.sha256 == sha256 else None
        yield {"path": str(file.resolve()), "bytes": file.stat().st_size, "sha256": sha256, "url": url}


def _known() -> Iterator[DatasetInfo]:
    import_installed()
    for source in SOURCES:
        yield from (source.info(name) for name in sorted(source.names()))
