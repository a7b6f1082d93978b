"""Whole trainings from Enter to the end, on a file of a million transitions, each with an empty cache.

`python -m benchmarks.jobs --updates 20000 --write` does fewer updates than a million; the table then says how
long a million would take at the rate of these.
"""

from __future__ import annotations

import argparse
import functools
import json
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.million import ROWS, write_million
from benchmarks.pages import write_lines
from benchmarks.processes import run_measured
from benchmarks.setting import Line

ROOT = Path(__file__).parents[1]
JOBS = {"iql": "algo=iql", "iql+cocoa": "algo=iql +cocoa", "td3_bc": "algo=td3_bc", "mopo": "algo=mopo"}
"""Fields by the name of the run's folder."""
UPDATES = 1_000_000
LOOP = ("training", "evaluation", "held_out", "checkpoints", "logging")
"""The stages that come again and again, as `seconds` of summary.json names them."""
MEMORY, PREPARATION = 4, 6
"""GB, and minutes to the first update, of a run with COCOA at most."""


@dataclass(frozen=True)
class Job:
    """What a training took."""

    wall: float
    """Seconds from the start of the process to its end."""
    memory: float
    """GB, at most."""
    seconds: dict[str, float]
    """By stage."""
    compiling: float
    """Seconds of compiling the programs of the loop."""
    rate: float
    """Updates per second while updates run."""
    updates: int

    @property
    def loop(self) -> float:
        """Seconds of the updates and what is between them, everything being compiled."""
        return sum(self.seconds.get(name, 0) for name in LOOP) - self.compiling

    @property
    def before(self) -> float:
        """Seconds before the first update."""
        return self.wall - self.loop

    def whole(self, updates: int) -> float:
        """Return the seconds of a training of so many updates at the rate of this one."""
        return self.before + self.loop * updates / self.updates

    @property
    def idle(self) -> float:
        """The share of the loop in which no updates run, since evaluations or files hold them up."""
        return 1 - self.updates / self.rate / self.loop


def jobs(updates: int = UPDATES, rows: int = ROWS, names: Sequence[str] = tuple(JOBS)) -> Iterator[Line]:
    """Trainings with evaluations on a million transitions, from Enter to the end, by stage."""
    yield Line("transitions", rows)
    yield Line("updates done", updates)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "million.hdf5"
        write_million(path, rows)
        for name in names:
            yield from _lines(name, _train(path, name, updates))


def _lines(name: str, job: Job) -> Iterator[Line]:
    prepared = PREPARATION if "+cocoa" in name else None
    yield Line(f"{name}: from Enter to the first update", job.before / 60, "min", prepared, below=True)
    for stage, seconds in job.seconds.items():
        if seconds >= 1:
            yield Line(f"{name}: {stage}", seconds, "s")
    yield Line(f"{name}: compilation of the updates, of the above", job.compiling, "s")
    yield Line(f"{name}: rate while updates run", job.rate, "updates/s")
    yield Line(f"{name}: share of the time in which no updates run", job.idle)
    yield Line(f"{name}: peak memory", job.memory, "GB", MEMORY, below=True)
    yield Line(f"{name}: {UPDATES:,} updates and all else", job.whole(UPDATES) / 60, "min")


def _train(dataset: Path, name: str, updates: int) -> Job:
    """Run a training in a process of its own, with an empty cache."""
    with tempfile.TemporaryDirectory() as folder:
        places = [f"dataset={dataset}", f"runs_dir={folder}", f"cache_dir={folder}/cache", "name=run"]
        fields = [*JOBS[name].split(), *places, f"updates={updates}", "wandb=off"]
        cost = run_measured([sys.executable, "train.py", *fields], ROOT)
        run = Path(folder) / dataset.stem / name / "run"
        summary = json.loads((run / "summary.json").read_text())
        log = (run / "log.txt").read_text()
    return Job(
        cost.wall,
        cost.memory,
        summary["seconds"],
        compile_seconds(log),
        summary["updates_per_second"],
        updates,
    )


def compile_seconds(log: str) -> float:
    """Return the seconds that a run's log.txt says the compilation of the loop's programs took."""
    return sum(map(float, re.findall(r"DEBUG Compiled jit\(of_all\), .*: ([\d.]+) s$", log, re.MULTILINE)))


def main() -> None:
    """Print the lines, and write their table if asked to."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.jobs", description=__doc__)
    parser.add_argument("--updates", type=int, default=UPDATES, help="updates of each training")
    parser.add_argument("--rows", type=int, default=ROWS, help="transitions of the file")
    parser.add_argument("--jobs", nargs="+", choices=JOBS, default=list(JOBS), help="run these trainings")
    parser.add_argument("--write", action="store_true", help="write the table into benchmarks/README.md")
    options = parser.parse_args()
    measured = functools.partial(jobs, options.updates, options.rows, options.jobs)
    write_lines("jobs", measured(), options.write)


if __name__ == "__main__":
    main()
