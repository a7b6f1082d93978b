"""Measure everything: `python -m benchmarks` prints each number beside what it is to be.

`--only floor cocoa` runs some of the parts. Numbers mean something on a quiet machine alone.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable

from benchmarks import growth, preparation, updates
from benchmarks.setting import Line

PARTS: dict[str, Callable[[], Iterable[Line]]] = {
    "floor": updates.floor,
    "compiled": updates.compiled,
    "cocoa": updates.cocoa_cost,
    "cql": updates.cql_sizes,
    "preparation": preparation.preparation,
    "growth": growth.growth,
}


def main(arguments: list[str] | None = None) -> None:
    """Print the lines."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="run these parts")
    options = parser.parse_args(arguments)
    for part in options.only:
        print(f"\n# {part}: {(PARTS[part].__doc__ or '').splitlines()[0]}", flush=True)
        for line in PARTS[part]():
            print(line, flush=True)


if __name__ == "__main__":
    main()
