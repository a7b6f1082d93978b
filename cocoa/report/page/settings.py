"""In which settings the runs of a report differ, and which they share."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from cocoa.report.groups import Group
from cocoa.report.page.tables import Cell, Section, Table, names

_OF_THE_DATA = {"env", "cocoa", "algo.name", "cocoa.variant"}
"""Fields that the dataset or the method's name says already."""


def settings(groups: Sequence[Group]) -> Section:
    """Return the section: fields that have an effect, with the methods that have each of their values."""
    owners: dict[str, dict[str, list[Group]]] = defaultdict(lambda: defaultdict(list))
    for group in groups:
        for name, value in group.runs[0].settings.items():
            if name not in _OF_THE_DATA:
                owners[name][value].append(group)
    different = {name: values for name, values in owners.items() if len(values) > 1}
    shared = {name: next(iter(values)) for name, values in owners.items() if len(values) == 1}
    text = ["Settings with no effect on a run are left out, and so are its seeds, its names and its folders."]
    if not different:
        text.append("No setting differs, the method and the dataset apart.")
    rows = [
        [Cell(name), Cell(value, kind="long"), names(_labels(members)), names(_datasets(members))]
        for name, values in different.items()
        for value, members in values.items()
    ]
    columns = ("setting", "value", "methods", "datasets")
    tables = [Table("Settings that differ", columns, rows)] if rows else []
    title = f"{len(shared)} settings are the same wherever they have an effect"
    return Section("settings", "Settings", text, tables=tables, facts=shared, facts_title=title)


def _labels(groups: Sequence[Group]) -> list[str]:
    return list(dict.fromkeys(group.label for group in groups))


def _datasets(groups: Sequence[Group]) -> list[str]:
    return list(dict.fromkeys(group.dataset for group in groups))
