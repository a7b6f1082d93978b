"""Make the table of results: `python -m benchmarks.results` runs what is missing and writes docs/results.md.

The plan is benchmarks/results.yaml. A run that is there is not repeated, one that was cut is resumed, so that
the command can be stopped and started at will; `--only hopper-medium/iql` runs the cells whose name starts
so, and `--list` shows them.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from omegaconf import OmegaConf

from cocoa.errors import RunError, UserError
from cocoa.files import atomic_write
from cocoa.report.__main__ import find_finished, grouped, table
from cocoa.training.summary import read_summary

ROOT = Path(__file__).parents[1]
PLAN = Path(__file__).with_name("results.yaml")
RUNS = Path("runs") / "results"
PAGE = ROOT / "docs" / "results.md"
START, END = "<!-- made by python -m benchmarks.results -->", "<!-- end -->"


@dataclass(frozen=True)
class Cell:
    """A run of the table."""

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
        """Where the run is."""
        return ROOT / RUNS / self.title

    @property
    def finished(self) -> bool:
        """Whether it is there."""
        try:
            return read_summary(self.folder)["status"] == "finished"
        except RunError:
            return False

    def run(self) -> int:
        """Train, or go on with what is there; return the exit status."""
        command = [f"resume={self.folder}"]
        if not (self.folder / "config.yaml").exists():
            command = [
                *(f"dataset={self.dataset}", f"name={self.name}", f"runs_dir={RUNS}", "wandb=off"),
                *self.overrides,
            ]
        return subprocess.call([sys.executable, "train.py", *command], cwd=ROOT)


def read_plan(path: Path, data: Path) -> list[Cell]:
    """Return the cells of a plan, of the datasets in the folder `data`."""
    plan = cast(dict[str, Any], OmegaConf.to_container(OmegaConf.load(path), resolve=True))
    return list(_cells(plan, data))


def _cells(plan: Mapping[str, Any], data: Path) -> Iterator[Cell]:
    for group in plan["groups"]:
        for dataset in group["datasets"]:
            for algo in group["algorithms"]:
                for variant in group["variants"]:
                    for name, extra in group.get("settings", {"main": []}).items():
                        method = algo if variant == "none" else f"{algo}+cocoa"
                        if variant not in ("none", "default", "seek"):
                            method += f"-{variant}"
                        flags = [f"algo={algo}", *([] if variant == "none" else [f"+cocoa={variant}"])]
                        common = plan["overrides"] + plan["algorithms"].get(algo, [])
                        overrides = [*flags, *common, *extra]
                        if variant == "none":
                            overrides = [one for one in overrides if not one.startswith("cocoa.")]
                        path = data / f"{dataset}.hdf5"
                        found = str(path) if path.exists() else dataset
                        yield Cell(found, method, name, tuple(overrides))


def write_page(page: Path, text: str) -> None:
    """Put `text` between the marks in `page`; what stands around them is left as it is."""
    before, _, rest = page.read_text(encoding="utf-8").partition(START)
    after = rest.partition(END)[2]
    atomic_write(page, f"{before}{START}\n\n{text}\n\n{END}{after}".encode())


def main(arguments: list[str] | None = None) -> int:
    """Run what is missing, write the page, return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.results", description=__doc__)
    parser.add_argument("data", type=Path, help="folder of the datasets that the plan names")
    parser.add_argument("--only", default="", help="run the cells whose name starts so")
    parser.add_argument("--list", action="store_true", help="show the cells and stop")
    options = parser.parse_args(arguments)
    cells = [cell for cell in read_plan(PLAN, options.data.resolve()) if cell.title.startswith(options.only)]
    failed = 0
    for cell in cells:
        if options.list:
            print(f"{'done   ' if cell.finished else 'missing'} {cell.title}: {' '.join(cell.overrides)}")
        elif not cell.finished:
            print(f"{cell.title}", flush=True)
            failed += bool(cell.run())
    if not options.list:
        try:
            runs, _ = find_finished([ROOT / RUNS])
            write_page(PAGE, table(grouped(runs)))
        except UserError as error:
            print(f"Error: {error}", file=sys.stderr)
            return 2
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
