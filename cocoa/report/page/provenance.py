"""Where results come from: code, versions, hardware and data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

from cocoa.data.sources import is_list, label
from cocoa.errors import shown
from cocoa.report.groups import Group
from cocoa.report.page.tables import Cell, Section, Table, number
from cocoa.report.runs import Run

_DIGITS = 12


def provenance(groups: Sequence[Group]) -> Section:
    """Return the section."""
    runs = [run for group in groups for run in group.runs]
    return Section(
        "provenance",
        "Provenance",
        ["Hashes are shortened. A commit that ends in -dirty had changes that were not committed."],
        tables=[_surroundings(runs), _data(groups)],
    )


def _surroundings(runs: Sequence[Run]) -> Table:
    """Return a table with a row for each different set of versions and hardware."""
    counted = Counter(tuple(_facts(run.summary).items()) for run in runs)
    names = list(dict.fromkeys(name for facts in counted for name, _ in facts))
    rows = [
        [
            number(float(count), ".0f"),
            *(
                _hash(dict(facts).get(name, "-")) if name == "commit" else Cell(dict(facts).get(name, "-"))
                for name in names
            ),
        ]
        for facts, count in counted.most_common()
    ]
    return Table("Code, versions and hardware", ("runs", *names), rows)


def _facts(summary: Mapping[str, Any]) -> dict[str, str]:
    """Return commit, hardware and versions of a run as text, by name."""
    hardware, versions = (_mapping(summary.get(name)) for name in ("hardware", "versions"))
    devices = hardware.get("devices")
    devices = Counter(map(_device, devices)) if isinstance(devices, list) else {}
    facts = {
        "commit": summary.get("git_commit") or "unknown",
        "devices": ", ".join(f"{count} x {name}" if count > 1 else name for name, count in devices.items()),
        **{name: hardware.get(name) for name in ("cpu", "cores")},
        "memory (GB)": hardware.get("memory_gb"),
        "platform": hardware.get("platform"),
        **versions,
    }
    return {shown(name): shown(value) for name, value in facts.items() if value not in (None, "")}


def _device(name: Any) -> str:
    """Return the name of a device as shown: not its platform and kind where both are the same word."""
    platform, _, kind = str(name).partition(": ")
    return platform if kind == platform else str(name)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _data(groups: Sequence[Group]) -> Table:
    """Return a table with a row for each dataset."""
    first = {group.dataset: group.runs[0] for group in reversed(groups)}
    rows = [
        [
            Cell(dataset),
            Cell(_source(run), full=shown(run.values["dataset"], 1000), kind="long"),
            Cell(shown(run.values.get("env"))),
            _hash(run.summary["dataset_sha256"]),
            number(_bytes(run.summary), ",.1f"),
            Cell(shown(run.summary.get("references") or "-")),
            number(run.behaviour),
        ]
        for dataset, run in reversed(first.items())
    ]
    columns = (
        "dataset",
        "read from",
        "environment",
        "SHA-256",
        "MB",
        "scores on",
        "data's own score or return",
    )
    return Table("Datasets", columns, rows)


def _source(run: Run) -> str:
    name = run.values["dataset"]
    return shown(label(name) if is_list(name) else PurePath(name).name)


def _bytes(summary: Mapping[str, Any]) -> float | None:
    """Return the size of a dataset's files in megabytes, if it is known."""
    files = summary.get("dataset_files")
    sizes = [_mapping(file).get("bytes") for file in files] if isinstance(files, list) else []
    known = [size for size in sizes if type(size) is int]
    return sum(known) / 1e6 if known and len(known) == len(sizes) else None


def _hash(text: str) -> Cell:
    commit, dash, dirty = str(text).partition("-")
    return Cell(shown(commit[:_DIGITS] + dash + dirty), full=shown(text) if len(commit) > _DIGITS else "")
