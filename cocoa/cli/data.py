"""`cocoa data`: which datasets there are, and what is in them."""

from __future__ import annotations

import argparse
import json
import shutil
import textwrap
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from itertools import zip_longest

from cocoa.cli.inspection import add_inspect
from cocoa.config.program import Parser
from cocoa.data.catalog import Entry, catalog
from cocoa.errors import DataError
from cocoa.runs.terminal import print_result

_GAP = "  "
_NARROWEST = 12
"""Characters below which no column is made narrower."""


def run(arguments: Sequence[str], program: str) -> int:
    """Do what the arguments after `data` ask for and return the exit status.

    The help names the command `program`. Raises a UserError for a mistake of the user.
    """
    parser = Parser(prog=program, description="Datasets: which there are, and what is in them.")
    verbs = parser.add_subparsers(metavar="verb", required=True)
    _add_list(verbs)
    add_inspect(verbs)
    options = parser.parse_args(sorted(arguments, key=lambda word: word.startswith("-")))  # flags anywhere
    print_result(options.run(options))
    return 0


def _add_list(verbs: argparse._SubParsersAction[Parser]) -> None:
    about = "List the datasets that are known by name, and what each needs."
    parser = verbs.add_parser("list", help=about, description=about)
    parser.add_argument("pattern", nargs="?", default="", help="part of the name, or a pattern: 'antmaze-*'")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=_list)


def _list(options: argparse.Namespace) -> str:
    entries = catalog(options.pattern)
    if not entries:
        names = [entry.info.name for entry in catalog()]
        near = get_close_matches(options.pattern.strip("*"), names, n=4, cutoff=0.5)
        nearest = f" The nearest names are {', '.join(near)}." if near else ""
        raise DataError(f"No dataset that is known by name matches {options.pattern!r}.{nearest}")
    if options.json:
        return json.dumps([as_json(entry) for entry in entries], indent=2)
    return table(entries, shutil.get_terminal_size((110, 24)).columns)


def as_json(entry: Entry) -> dict[str, object]:
    """Return what is known of a dataset as a mapping for JSON; `bytes` is null where it is not known."""
    return {
        "name": entry.info.name,
        "cached": entry.info.cached,
        "bytes": entry.info.size,
        "files": [str(file) for file in entry.info.files],
        "env": entry.info.env,
        "extras": list(entry.extras),
        "missing": list(entry.missing),
        "differences": entry.differences or None,
    }


def table(entries: Sequence[Entry], width: int) -> str:
    """Return a table at most `width` characters wide, if that can be, and below it how environments differ.

    Cells that are too wide are broken into lines.
    """
    notes = list(dict.fromkeys(entry.differences for entry in entries if entry.differences))
    rows = [("dataset", "cached", "size", "environment", "extra", "note")]
    rows += [_cells(entry, notes) for entry in entries]
    lines = _aligned(rows, width)
    cached = [entry for entry in entries if entry.info.cached]
    total = sum(entry.info.size or 0 for entry in cached)
    lines += ["", f"{len(entries)} datasets, {len(cached)} of them cached ({total / 1e6:,.1f} MB)."]
    for number, note in enumerate(notes, 1):
        lines += textwrap.wrap(f"[{number}] {note}", width, subsequent_indent="    ")
    return "\n".join(lines)


def _cells(entry: Entry, notes: Sequence[str]) -> tuple[str, ...]:
    size = entry.info.size
    extras = [f"{extra} (missing)" if extra in entry.missing else extra for extra in entry.extras]
    return (
        entry.info.name,
        "yes" if entry.info.cached else "-",
        "-" if size is None else f"{size / 1e6:,.1f} MB",
        entry.info.env or "-",
        ", ".join(extras) or "-",
        f"[{notes.index(entry.differences) + 1}]" if entry.differences else "",
    )


def _aligned(rows: Sequence[Sequence[str]], width: int) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    while sum(widths) + len(_GAP) * (len(widths) - 1) > width and max(widths) > _NARROWEST:
        widths[widths.index(max(widths))] -= 1
    return [line for row in rows for line in _broken(row, widths)]


def _broken(row: Sequence[str], widths: Sequence[int]) -> Iterator[str]:
    """Yield the lines of a row whose cells have these widths."""
    cells = [textwrap.wrap(cell, width) for cell, width in zip(row, widths, strict=True)]
    for parts in zip_longest(*cells, fillvalue=""):
        yield _GAP.join(f"{part:<{width}}" for part, width in zip(parts, widths, strict=True)).rstrip()
