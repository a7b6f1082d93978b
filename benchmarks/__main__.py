"""Measure everything: `python -m benchmarks` prints each value beside its goal.

`--only floor cocoa` runs some of the parts, and `--write` writes their tables into benchmarks/README.md.
Measure on an idle machine.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable

from benchmarks import (
    accelerator,
    algorithms,
    devices,
    ensembles,
    fits,
    growth,
    jobs,
    kernels,
    preparation,
    streaming,
    surroundings,
    updates,
    yardstick,
)
from benchmarks.pages import write_lines
from benchmarks.setting import Line

PARTS: dict[str, Callable[[], Iterable[Line]]] = {
    "floor": updates.floor,
    "algorithms": algorithms.algorithms,
    "compiled": updates.compiled,
    "cocoa": updates.cocoa_cost,
    "cql": updates.cql_sizes,
    "ensembles": ensembles.ensembles,
    "preparation": preparation.preparation,
    "fits": fits.fits,
    "jobs": jobs.jobs,
    "yardstick": yardstick.yardstick,
    "surroundings": surroundings.surroundings,
    "devices": devices.devices,
    "streaming": streaming.streaming,
    "growth": growth.growth,
    "accelerator": accelerator.accelerator,
    "kernels": kernels.kernels,
    "forecast": accelerator.forecast,
}


def main(arguments: list[str] | None = None) -> None:
    """Measure the chosen parts, print their lines, and write their tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="run these parts")
    parser.add_argument("--write", action="store_true", help="write the tables into benchmarks/README.md")
    options = parser.parse_args(arguments)
    for part in options.only:
        print(f"\n# {part}: {(PARTS[part].__doc__ or '').splitlines()[0]}", flush=True)
        write_lines(part, PARTS[part](), options.write)


if __name__ == "__main__":
    main()
