"""Run the plan of results: `python -m benchmarks.results` trains what is missing and writes docs/results.md.

The plan is benchmarks/results.yaml. A finished cell leaves a record in benchmarks/results/, and is run
again only if the plan's fields for it change or the record is deleted; a run that was stopped is resumed. So
the command can be stopped and started at any time. `--only hopper-medium/iql` runs the cells whose name
starts with that, `--list` shows all, and `--page` writes the page from the records without training.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks import results_page
from benchmarks.pages import DOCS, write_part
from benchmarks.results_plan import PLAN, Cell, read_plan
from cocoa.errors import UserError


def main(arguments: list[str] | None = None) -> int:
    """Train what is missing, write the page, return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.results", description=__doc__)
    parser.add_argument("data", type=Path, help="folder of the datasets that the plan names")
    parser.add_argument("--only", default="", help="run the cells whose name starts with this")
    parser.add_argument("--list", action="store_true", help="show the cells and stop")
    parser.add_argument("--page", action="store_true", help="write the page from the records and stop")
    options = parser.parse_args(arguments)
    cells = read_plan(PLAN, options.data.resolve())
    chosen = [cell for cell in cells if cell.title.startswith(options.only)]
    if options.list:
        for cell in chosen:
            print(f"{'done   ' if cell.record else 'missing'} {cell.title}: {' '.join(cell.overrides)}")
        return 0
    failed = 0
    for cell in chosen:
        if not (cell.record or options.page):
            print(f"{cell.title}", flush=True)
            failed += bool(cell.run())
    try:
        write_page(read_plan(PLAN, options.data.resolve()))
    except UserError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    return 1 if failed else 0


def write_page(cells: list[Cell]) -> None:
    """Write the tables of docs/results.md and its figure."""
    for name, text in results_page.parts(cells).items():
        write_part(DOCS / "results.md", name, text)
    results_page.draw(cells, DOCS / "results.png")


if __name__ == "__main__":
    sys.exit(main())
