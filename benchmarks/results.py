"""Make the tables of results: `python -m benchmarks.results` runs what is missing and writes docs/results.md.

The plan is benchmarks/results.yaml. A finished cell leaves a record in benchmarks/results/, and is run
again only if the plan's fields for it change or the record is deleted; a run that was cut is resumed. So the
command can be stopped and started at will. `--only hopper-medium/iql` runs the cells whose name starts so,
and `--list` shows them all.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
from omegaconf import OmegaConf

from benchmarks.pages import DOCS, write_part
from cocoa.errors import UserError
from cocoa.report.statistics import bootstrap_interval, iqm
from cocoa.runs.summary import read_summary
from cocoa.storage.files import atomic_write

ROOT = Path(__file__).parents[1]
PLAN = Path(__file__).with_name("results.yaml")
RECORDS = Path(__file__).with_name("results")
RUNS = Path("runs") / "results"
KEPT = (
    *("updates", "seeds", "evaluations", "score", "score_last10", "behaviour_score", "seconds"),
    *("models_shared_by_seeds", "dataset_sha256", "versions", "git_commit", "hardware"),
)
"""Entries of a run's summary that its record keeps."""


@dataclass(frozen=True)
class Cell:
    """A run of the tables."""

    group: str
    dataset: str
    """Path of the file, or a name."""
    method: str
    """Of the run's folder: the algorithm, with +cocoa and the variant."""
    name: str
    overrides: tuple[str, ...]

    @property
    def title(self) -> str:
        """Dataset, method and name."""
        return f"{Path(self.dataset).stem}/{self.method}/{self.name}"

    @property
    def folder(self) -> Path:
        """Where the run is: another one if the plan's fields change."""
        digest = hashlib.sha256(" ".join(self.overrides).encode()).hexdigest()
        return ROOT / RUNS / f"{self.title}-{digest[:8]}"

    @property
    def path(self) -> Path:
        """Where the record is."""
        return RECORDS / f"{self.title}.json"

    @cached_property
    def record(self) -> dict[str, Any] | None:
        """What the finished run came to, or None if there is none of these fields."""
        if not self.path.exists():
            return None
        record = json.loads(self.path.read_text(encoding="utf-8"))
        return record if record["overrides"] == list(self.overrides) else None

    def run(self) -> int:
        """Train, or go on with what is there, and write the record; return the exit status."""
        command = [f"resume={self.folder}"]
        if not (self.folder / "config.yaml").exists():
            command = [
                *(f"dataset={self.dataset}", f"name={self.folder.name}", f"runs_dir={RUNS}", "wandb=off"),
                *self.overrides,
            ]
        if status := subprocess.call([sys.executable, "train.py", *command], cwd=ROOT):
            return status
        summary = read_summary(self.folder)
        record = {"overrides": self.overrides, **{key: summary[key] for key in KEPT}}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(self.path, (json.dumps(record, indent=1) + "\n").encode())
        return 0


def read_plan(path: Path, data: Path) -> list[Cell]:
    """Return the cells of a plan, of the datasets in the folder `data`."""
    plan = cast(dict[str, Any], OmegaConf.to_container(OmegaConf.load(path), resolve=True))
    return list(_cells(plan, data))


def _cells(plan: Mapping[str, Any], data: Path) -> Iterator[Cell]:
    for group in plan["groups"]:
        for dataset in group["datasets"]:
            path = data / f"{dataset}.hdf5"
            found = str(path) if path.exists() else dataset
            for algo in group["algorithms"]:
                common = plan["overrides"] + plan["algorithms"].get(algo, [])
                for variant in group["variants"]:
                    method, flags = algo, [f"algo={algo}"]
                    if variant != "none":
                        method += "+cocoa" if variant == "seek" else f"+cocoa-{variant}"
                        flags.append(f"+cocoa={variant}")
                    for name, extra in group.get("settings", {"main": []}).items():
                        fields = [*flags, *common, *extra]
                        if not any(field.startswith("dynamics=") for field in fields):
                            fields += plan["models"]
                        if variant == "none":
                            fields = [field for field in fields if not field.startswith("cocoa.")]
                        yield Cell(group["title"], found, method, name, tuple(fields))


def tables(cells: list[Cell]) -> str:
    """Return a Markdown table for each group of cells: IQM over seeds with its 95 % bootstrap interval."""
    lines = []
    for group in dict.fromkeys(cell.group for cell in cells):
        lines += [f"### {group}", "", "| dataset | method | updates | seeds | last | last 10 | data | on |"]
        lines.append("|" + "---|" * 8)
        lines += [_row(cell, cell.record) for cell in cells if cell.group == group and cell.record]
        missing = sum(cell.group == group and not cell.record for cell in cells)
        are = "cell of the plan is" if missing == 1 else "cells of the plan are"
        lines += ["", *([f"{missing} {are} not there yet.", ""] if missing else [])]
    return "\n".join(lines).rstrip()


def _row(cell: Cell, record: Mapping[str, Any]) -> str:
    dataset, method, name = cell.title.split("/")
    entries = (
        *(dataset, method if name in ("main", "demo") else f"{method} {name}"),
        *(f"{record['updates']:,}", len(record["seeds"])),
        *(_iqm(record["score"]), _iqm(record["score_last10"]), f"{record['behaviour_score']:.1f}"),
        _device(record),
    )
    return f"| {' | '.join(map(str, entries))} |"


def _device(record: Mapping[str, Any]) -> str:
    """Return what the cell was trained on; the first records do not tell, and are a CPU's."""
    devices = record.get("hardware", {}).get("devices", ["cpu"])
    platform, _, kind = devices[0].partition(": ")
    several = f"{len(devices)} x " if len(devices) > 1 else ""
    return "CPU" if platform == "cpu" else several + kind


def _iqm(score: Mapping[str, Any]) -> str:
    values = np.array(score["per_seed"])
    interval = bootstrap_interval(values)
    spread = f" [{interval[0]:.1f}, {interval[1]:.1f}]" if interval else ""
    return f"{float(iqm(values)):.1f}{spread}"


def main(arguments: list[str] | None = None) -> int:
    """Run what is missing, write the page, return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.results", description=__doc__)
    parser.add_argument("data", type=Path, help="folder of the datasets that the plan names")
    parser.add_argument("--only", default="", help="run the cells whose name starts so")
    parser.add_argument("--list", action="store_true", help="show the cells and stop")
    options = parser.parse_args(arguments)
    failed = 0
    for cell in read_plan(PLAN, options.data.resolve()):
        if not cell.title.startswith(options.only):
            continue
        if options.list:
            print(f"{'done   ' if cell.record else 'missing'} {cell.title}: {' '.join(cell.overrides)}")
        elif not cell.record:
            print(f"{cell.title}", flush=True)
            failed += bool(cell.run())
    if not options.list:
        try:
            write_part(DOCS / "results.md", "tables", tables(read_plan(PLAN, options.data.resolve())))
        except UserError as error:
            print(f"Error: {error}", file=sys.stderr)
            return 2
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
