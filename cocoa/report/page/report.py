"""The page of a report: its sections in order, and what stands above them."""

from __future__ import annotations

import time
from collections import Counter

import matplotlib

from cocoa.report.contents import Contents
from cocoa.report.online import gains
from cocoa.report.page.anchors import anchors
from cocoa.report.page.comparison import chosen, comparison, profiles
from cocoa.report.page.cost import cost, seconds_of
from cocoa.report.page.curves import curves
from cocoa.report.page.listing import held_out, listing
from cocoa.report.page.online import online
from cocoa.report.page.price import price
from cocoa.report.page.provenance import provenance
from cocoa.report.page.rendering import STYLE, render
from cocoa.report.page.scores import table_of_scores
from cocoa.report.page.selection import selection
from cocoa.report.page.settings import settings
from cocoa.report.page.tables import Section


def page(contents: Contents, refresh: int | None = None) -> str:
    """Return the page; a browser loads it again after `refresh` seconds.

    Raises DataError without the extra `report`.
    """
    follows = f"; it follows the runs, and is loaded again every {refresh} seconds" if refresh else ""
    with matplotlib.rc_context(STYLE):
        sections = _sections(contents)
        return render(
            "report.html",
            title=contents.name,
            subtitle=f"Report made {time.strftime('%Y-%m-%d %H:%M:%S %Z')}{follows}",
            tiles=_tiles(contents),
            refresh=refresh,
            sections=[section for section in sections if section],
        )


def _sections(contents: Contents) -> list[Section | None]:
    groups = contents.groups
    evaluated = (
        [
            comparison(contents.comparisons, contents.verdicts),
            chosen(contents.chosen, contents.options.effect),
            table_of_scores(groups, contents.scores, contents.notes),
            curves(groups),
            online(gains(groups)),
            profiles(contents.comparisons),
            price(contents.prices),
            selection(contents.selections),
            anchors(groups),
            cost(groups),
            settings(groups),
            provenance(groups),
        ]
        if groups
        else []
    )
    return [*evaluated, held_out(contents.held_out), listing(groups, contents.others)]


def _tiles(contents: Contents) -> list[tuple[str, str]]:
    """Return names and numbers of the whole report."""
    runs = [run for group in contents.groups for run in group.runs]
    hours = sum(sum(seconds_of(run.summary).values()) for run in runs) / 3600
    states = Counter(run.state for run in contents.others)
    return [
        ("finished runs", f"{len(runs):,}"),
        *((state, f"{count:,}") for state, count in states.items()),
        ("datasets", f"{len(contents.scores.units):,}"),
        ("methods", f"{len(contents.scores.methods):,}"),
        ("seeds", f"{sum(len(group.seeds) for group in contents.groups):,}"),
        ("hours of runs", f"{hours:,.1f}"),
    ]
