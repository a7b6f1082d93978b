"""Documents with parts that a command writes, between `<!-- name -->` and `<!-- end of name -->`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from benchmarks.setting import Line
from cocoa.storage.files import atomic_write

DOCS = Path(__file__).parents[1] / "docs"
PAGE = Path(__file__).with_name("README.md")


def write_lines(part: str, lines: Iterable[Line], write: bool) -> None:
    """Print each line when it is measured; with `write`, put their table into the part of `PAGE`."""
    rows = ["| measure | value | goal | goal met |", "|---|---|---|---|"]
    for line in lines:
        print(line, flush=True)
        rows.append(line.row)
    if write and len(rows) > 2:
        write_part(PAGE, part, "\n".join(rows))


def write_part(page: Path, name: str, text: str) -> None:
    """Put `text` into a part of `page`; what stands around it is left as it is.

    Raises ValueError if the page has no such part.
    """
    start, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    before, found, rest = page.read_text(encoding="utf-8").partition(start)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise ValueError(f"{page} has no part between {start} and {end}")
    atomic_write(page, f"{before}{start}\n\n{text}\n\n{end}{after}".encode())
