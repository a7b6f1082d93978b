"""The plan of docs/results.md, benchmarks/results.yaml, and the records of its finished cells."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast

from omegaconf import OmegaConf

from cocoa.anchors import ANCHORS
from cocoa.runs.places import folder_name
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
    def dataset_name(self) -> str:
        """The dataset without folder and ending, as the folder of its runs is called."""
        return folder_name(Path(self.dataset).stem)

    @property
    def title(self) -> str:
        """Dataset, method and name."""
        return f"{self.dataset_name}/{self.method}/{self.name}"

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
        """The summary of the finished run, or None if none was run with these fields."""
        if not self.path.exists():
            return None
        record = json.loads(self.path.read_text(encoding="utf-8"))
        return record if record["overrides"] == list(self.overrides) else None

    def run(self) -> int:
        """Train, or resume the run in `folder`, and write the record; return the exit status."""
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
                        if variant in ANCHORS and ANCHORS[variant].uses_dynamics:
                            fields += plan["seeker"]
                        if variant == "none":
                            fields = [field for field in fields if not field.startswith("cocoa.")]
                        yield Cell(group["title"], found, method, name, tuple(fields))
