"""Compare runs: `python -m cocoa.report runs` prints a table and draws a figure for each dataset."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from cocoa.errors import RunError, UserError, escaped
from cocoa.report.figures import draw, file_names
from cocoa.report.groups import Group, grouped
from cocoa.report.held_out import held_out_table
from cocoa.report.markdown import table
from cocoa.report.notes import notes
from cocoa.report.runs import find_finished
from cocoa.runs.terminal import protect_streams


def main(arguments: Sequence[str] | None = None, program: str = "python -m cocoa.report") -> int:
    """Print the table, write the figures, return the exit status; the help names the command `program`."""
    protect_streams()
    description = "Compare runs: print a table of the finished ones and draw a figure for each dataset."
    parser = argparse.ArgumentParser(prog=program, description=description)
    parser.add_argument("folders", nargs="+", type=Path, help="folders of runs, or any folder above them")
    parser.add_argument("--out", type=Path, default=Path(), help="where figures go (default: here)")
    options = parser.parse_args(arguments)
    try:
        report(options.folders, options.out)
    except UserError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    return 0


def report(folders: list[Path], out: Path) -> None:
    """Print the table of the finished runs at or below `folders`, and write a figure per dataset to `out`.

    Of runs without an evaluation it prints a table of their held-out losses. Raises RunError if there is no
    finished run, or a figure cannot be written.
    """
    runs, others = find_finished(folders)
    losses, listed = held_out_table(others)
    for folder, why in others.items():
        if folder not in listed:
            _note(f"Left out: {folder}: {why}")
    if not (runs or losses):
        raise RunError(f"There is no finished run below {', '.join(map(str, folders))}.")
    if runs:
        _compare(grouped(runs), out)
    if losses:
        print(f"\nNot evaluated:\n\n{losses}")


def _compare(groups: list[Group], out: Path) -> None:
    """Print the table of evaluated runs, and write their figures."""
    for note in notes(groups):
        _note(note)
    print(table(groups))
    for dataset, name in file_names(groups).items():
        path = out / f"{name}.png"
        draw([group for group in groups if group.dataset == dataset], path)
        print(f"\n![{dataset}]({path})")


def _note(text: str) -> None:
    """Print a line to stderr, so that the table can be redirected."""
    print(escaped(text).replace("\n", " "), file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
