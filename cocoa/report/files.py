"""The files of a report, and what is printed beside them."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from cocoa.errors import RunError, escaped
from cocoa.extras import hint, missing
from cocoa.report.contents import Contents, Options, contents_of
from cocoa.report.deployment import deployment_figure, deployment_text
from cocoa.report.export import to_csv, to_latex
from cocoa.report.figures import draw, file_names
from cocoa.report.held_out import markdown as held_out_table
from cocoa.report.online import gains
from cocoa.report.online import markdown as online_table
from cocoa.report.page.report import page
from cocoa.report.scores import markdown as score_table
from cocoa.report.verdict import text as comparison_text
from cocoa.storage.files import atomic_write


def write_report(folders: Sequence[Path], out: Path, options: Options) -> None:
    """Print the table of the finished runs at or below `folders`, and write all files of a report to `out`.

    Of runs without an evaluation it prints a table of their held-out losses. Raises RunError if there is no
    finished run, or a file cannot be written.
    """
    contents = contents_of(folders, options)
    for folder, why in contents.left_out.items():
        _note(f"Left out: {folder}: {why}")
    if not (contents.groups or contents.held_out):
        raise RunError(f"There is no finished run below {', '.join(map(str, folders))}.")
    for note in contents.notes:
        _note(note)
    print("\n".join(_printed(contents, out)))
    for path in _written(contents, out):
        _note(f"Written: {path}")
    if missing("report"):
        _note(hint("report", "The page of the report"))


def write_page(contents: Contents, out: Path, refresh: int | None = None) -> Path:
    """Write the page, whole or not at all, and return its path; a browser loads it again after `refresh` s.

    Raises RunError if it cannot be written, DataError without the extra `report`.
    """
    path = out / f"{contents.name}-report.html"
    atomic_write(path, page(contents, refresh).encode())
    return path


def _printed(contents: Contents, out: Path) -> Iterator[str]:
    """Yield what is printed as Markdown, after writing the figures that it names."""
    groups = contents.groups
    if groups:
        yield score_table(groups)
    if gained := online_table(gains(groups)):
        yield f"\nOnline:\n\n{gained}"
    compared = [*contents.comparisons, *([contents.chosen] if contents.chosen else [])]
    if compared:
        yield f"\n{comparison_text(compared, contents.options.effect)}"
    if contents.prices:
        yield f"\n{deployment_text(contents.prices)}"
    for dataset, name in file_names(groups).items():
        path = out / f"{name}.png"
        draw([group for group in groups if group.dataset == dataset], path)
        yield f"\n![{dataset}]({path})"
    for price in (price for price in contents.prices if price.curves):
        path = out / f"{file_names(groups)[price.dataset]}-tuning.png"
        deployment_figure(price, path)
        yield f"\n![The price of tuning on {price.dataset}]({path})"
    if contents.held_out:
        yield f"\nNot evaluated:\n\n{held_out_table(contents.held_out)}"


def _written(contents: Contents, out: Path) -> Iterator[Path]:
    """Write the other files and yield their paths."""
    if contents.groups:
        for suffix, text in (("csv", to_csv(contents.groups)), ("tex", to_latex(contents.scores))):
            path = out / f"{contents.name}-scores.{suffix}"
            atomic_write(path, text.encode("utf-8", "replace"))
            yield path
    if not missing("report"):
        yield write_page(contents, out)


def _note(text: str) -> None:
    """Print a line to stderr, so that the table can be redirected."""
    print(escaped(text).replace("\n", " "), file=sys.stderr)
