"""The tables and the figure of docs/results.md, made from the records of finished cells."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.results_plan import Cell
from cocoa.runs.plots import save
from cocoa.statistics.aggregates import iqm
from cocoa.statistics.bootstrap import estimate

PLAIN, COCOA = "#7f7f7f", "#dd6b20"
TODAY = "Algorithms of today"
"""The group that has a summary beside the first one's."""


def parts(cells: Sequence[Cell]) -> dict[str, str]:
    """Return the tables by the names of their parts: `summary`, `today`, `provenance`, one for each group."""
    groups = dict.fromkeys(cell.group for cell in cells)
    tables = {part_name(group): table(cells, group) for group in groups}
    summaries = {"summary": summary(cells), "today": summary(cells, TODAY)}
    return {**summaries, **tables, "provenance": provenance(cells)}


def part_name(group: str) -> str:
    """Return a group's title as the name of a part of the page: "Anchor horizon" is `anchor-horizon`."""
    return re.sub(r"\W+", "-", group.lower()).strip("-")


def pairs(
    cells: Sequence[Cell], group: str | None = None
) -> dict[tuple[str, str], tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """Return the records of a group's runs, plain and with COCOA, by algorithm and dataset.

    The group is the first one unless one is named.
    """
    records = {
        (cell.method, cell.dataset_name): cell.record
        for cell in cells
        if cell.group == (group or cells[0].group) and cell.record
    }
    return {
        (method, dataset): (plain, records[f"{method}+cocoa", dataset])
        for (method, dataset), plain in records.items()
        if (f"{method}+cocoa", dataset) in records
    }


def summary(cells: Sequence[Cell], group: str | None = None) -> str:
    """Return a table of algorithms and datasets: the score without COCOA and with it.

    The runs are those of the first group unless one is named. A score whose interval lies above the other's
    is in bold.
    """
    found = pairs(cells, group)
    datasets = list(dict.fromkeys(dataset for _, dataset in found))
    lines = [f"| algorithm | {' | '.join(datasets)} |", "|---" * (len(datasets) + 1) + "|"]
    for method in dict.fromkeys(method for method, _ in found):
        entries = [_change(*found[method, d]) if (method, d) in found else "" for d in datasets]
        lines.append(f"| {title(method)} | {' | '.join(entries)} |")
    behaviour = {dataset: plain["behaviour_score"] for (_, dataset), (plain, _) in found.items()}
    known = ("" if behaviour[dataset] is None else f"{behaviour[dataset]:.1f}" for dataset in datasets)
    lines.append(f"| *the data* | {' | '.join(known)} |")
    return "\n".join(lines)


def title(method: str) -> str:
    """Return an algorithm's name as papers write it."""
    return method.upper().replace("_", "+")


def _change(plain: Mapping[str, Any], cocoa: Mapping[str, Any]) -> str:
    before, after = (np.array(record["score_last10"]["per_seed"]) for record in (plain, cocoa))
    return f"{score(before, above=after)}<br>→ {score(after, above=before)}"


def score(values: np.ndarray, above: np.ndarray | None = None) -> str:
    """Return the interquartile mean over seeds with its interval, bold if it lies `above` another's."""
    mean, low, high = estimate(iqm, [values])
    if np.isnan(low):
        return f"{mean:.1f}"
    bold = "**" if above is not None and low > estimate(iqm, [above]).high else ""
    return f"{bold}{mean:.1f}{bold} [{low:.1f}, {high:.1f}]"


def table(cells: Sequence[Cell], group: str) -> str:
    """Return a table of the scores of a group, with the first group's of the same datasets and algorithms."""
    lines = ["| dataset | method | updates | last ten | last |", "|" + "---|" * 5]
    own = [cell for cell in cells if cell.group == group]
    for place in dict.fromkeys(map(_place, own)):
        for cell in cells:
            if cell.group in (cells[0].group, group) and _place(cell) == place and cell.record:
                scores = [np.array(cell.record[name]["per_seed"]) for name in ("score_last10", "score")]
                lines.append(_row(cell, f"{cell.record['updates']:,}", *map(score, scores)))
    if missing := sum(not cell.record for cell in own):
        lines += ["", f"Not run yet: {missing} of {len(own)} cells."]
    return "\n".join(lines)


def provenance(cells: Sequence[Cell]) -> str:
    """Return a table that says of each finished run how it was trained."""
    lines = ["| dataset | method | updates | seeds | hardware | JAX | commit |", "|" + "---|" * 7]
    for cell in cells:
        if record := cell.record:
            commit, _, changed = record["git_commit"].partition("-")
            code = record["versions"]["jax"], commit[:8] + ("+" if changed else "")
            lines.append(_row(cell, f"{record['updates']:,}", len(record["seeds"]), _device(record), *code))
    return "\n".join(lines)


def _place(cell: Cell) -> tuple[str, str]:
    return cell.dataset_name, cell.method.partition("+")[0]


def _row(cell: Cell, *entries: object) -> str:
    method = cell.method if cell.name in ("main", "demo") else f"{cell.method} {cell.name}"
    return f"| {' | '.join(map(str, (cell.dataset_name, method, *entries)))} |"


def _device(record: Mapping[str, Any]) -> str:
    """Return the hardware of a run; a record without it is of a CPU."""
    devices = record.get("hardware", {}).get("devices", ["cpu"])
    platform, _, kind = devices[0].partition(": ")
    several = f"{len(devices)} x " if len(devices) > 1 else ""
    return "CPU" if platform == "cpu" else several + re.sub(r"^NVIDIA | \d+GB.*", "", kind)


def draw(cells: Sequence[Cell], path: Path) -> None:
    """Draw the table of `summary`: a panel for each dataset, a row for each algorithm."""
    found = pairs(cells)
    datasets = list(dict.fromkeys(dataset for _, dataset in found))
    methods = list(dict.fromkeys(method for method, _ in found))
    figure = Figure(figsize=(9.6, 3.6), layout="constrained")
    panels = figure.subplots(1, len(datasets), sharex=True, sharey=True, squeeze=False)[0]
    for axes, dataset in zip(panels, datasets, strict=True):
        here = [
            (row, *found[method, dataset]) for row, method in enumerate(methods) if (method, dataset) in found
        ]
        rows, plain, cocoa = zip(*here, strict=True)
        _draw_scores(axes, np.array(rows) - 0.14, plain, PLAIN, "plain")
        _draw_scores(axes, np.array(rows) + 0.14, cocoa, COCOA, "+COCOA")
        axes.axvline(plain[0]["behaviour_score"], color="0.3", linestyle="--", linewidth=1, label="the data")
        axes.set_title(dataset, fontsize=10)
        axes.grid(axis="x", color="0.9")
        axes.set_axisbelow(True)
    panels[0].set_yticks(range(len(methods)), [title(method) for method in methods])
    panels[0].invert_yaxis()
    figure.supxlabel("normalized score (%), mean of the last ten evaluations", fontsize=10)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=3, frameon=False)
    save(figure, path)


def _draw_scores(
    axes: Axes, rows: np.ndarray, records: Sequence[Mapping[str, Any]], color: str, label: str
) -> None:
    seeds = [np.array(record["score_last10"]["per_seed"]) for record in records]
    means, *ends = np.transpose([estimate(iqm, [values]) for values in seeds])
    spread = np.nan_to_num(np.abs(np.array(ends) - means))
    axes.errorbar(means, rows, xerr=spread, fmt="o", color=color, label=label, capsize=2.5, markersize=5)
