"""Compare runs: `python -m cocoa.report runs` prints a table and draws a figure for each dataset."""

from __future__ import annotations

import argparse
import re
import sys
import textwrap
from collections import defaultdict
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure

from cocoa.errors import RunError, UserError, escaped
from cocoa.report.groups import Group, grouped
from cocoa.report.held_out import held_out_table
from cocoa.report.runs import find_finished
from cocoa.runs.plots import draw_curve, finish_curve, save
from cocoa.runs.terminal import protect_streams
from cocoa.statistics.aggregates import iqm
from cocoa.statistics.bootstrap import estimate

_LINES = [line for line in ("-", "--", ":", "-.") for _ in range(10)]
"""Line styles of the figure, each for all colours."""


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
    if note := _different_references(groups):
        _note(f"Note: {note}")
    for group in groups:
        if note := _different_code(group):
            _note(f"Note: {note}")
        for run in group.runs:
            used = sum(source is run for source, _ in group.seeds.values())
            if repeats := len(run.seeds) - used:
                _note(
                    f"Left out: {run.folder}: {repeats} of its seeds are in a later run of the same settings"
                )
    print(table(groups))
    for dataset, name in _file_names(groups).items():
        path = out / f"{name}.png"
        draw([group for group in groups if group.dataset == dataset], path)
        print(f"\n![{dataset}]({path})")


def _note(text: str) -> None:
    """Print a line to stderr, so that the table can be redirected."""
    print(escaped(text).replace("\n", " "), file=sys.stderr)


def _file_names(groups: list[Group]) -> dict[str, str]:
    """Return a distinct file name for the figure of each dataset, without special characters."""
    names: dict[str, str] = {}
    for dataset in dict.fromkeys(group.dataset for group in groups):
        plain = re.sub(r"[^\w.+=-]", "_", dataset).strip("_.")[:100] or "dataset"
        taken = {name.casefold() for name in names.values()}
        tries = (plain, *(f"{plain}-{number}" for number in range(2, len(groups) + 2)))
        names[dataset] = next(name for name in tries if name.casefold() not in taken)
    return names


def _different_references(groups: list[Group]) -> str:
    """Return a note on whose references each dataset's scores are, if they are not the same."""
    datasets: dict[str, list[str]] = defaultdict(list)
    for group in groups:
        for whose in {run.summary.get("references") for run in group.runs if run.unit == "score"}:
            datasets[str(whose or "unknown references")].append(group.dataset)
    if len(datasets) < 2:
        return ""
    scales = (f"{whose} ({', '.join(dict.fromkeys(names))})" for whose, names in datasets.items())
    return f"scores are not on one scale: {'; '.join(scales)}"


def _different_code(group: Group) -> str:
    """Return a note if the pooled seeds of a group may come from different versions of the code."""
    pooled = {run.folder: str(run.summary.get("git_commit") or "unknown") for run, _ in group.seeds.values()}
    commits = sorted(set(pooled.values()))
    if len(pooled) == 1 or (len(commits) == 1 and not commits[0].endswith("-dirty")):
        return ""
    return (
        f"seeds of {group.dataset}/{group.label} that are pooled may be of different code, commits "
        f"{', '.join(commits)}"
    )


def table(groups: list[Group]) -> str:
    """Return a Markdown table: IQM over seeds with its 95 % bootstrap interval, last and mean of last ten.

    The IQM counts a diverged seed as minus infinity; the mean of a group that has one is nan.
    """
    lines = [
        "| dataset | method | updates | seeds | last: IQM | last: mean | last 10: IQM | data |",
        "|" + "---|" * 8,
    ]
    for group in groups:
        run, last = group.runs[0], group.last
        seeds = f"{len(last)} ({group.diverged} diverged)" if group.diverged else f"{len(last)}"
        data = "-" if np.isnan(run.behaviour) else f"{run.behaviour:.1f}"
        cells = (
            *(group.dataset, group.label, f"{run.updates:,}", seeds),
            *(_iqm(last), f"{last.mean():.1f}", _iqm(group.last_ten), data),
        )
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(lines)


def draw(groups: list[Group], path: Path) -> None:
    """Draw the curves of all groups on one dataset."""
    figure = Figure(layout="constrained")
    axes = figure.add_subplot()
    colors = colormaps["tab10"].colors  # type: ignore[attr-defined]
    for color, line, group in zip(cycle(colors), cycle(_LINES), groups, strict=False):
        label = "\n".join(textwrap.wrap(group.label, 60, subsequent_indent="  "))
        draw_curve(axes, *group.curve(), label, color, line, each_seed=len(groups) == 1)
    run = groups[0].runs[0]
    if not np.isnan(run.behaviour):
        axes.axhline(run.behaviour, color="0.3", linestyle="--", linewidth=1, label="data")
    axes.set_title(groups[0].dataset, fontsize=10, parse_math=False)
    finish_curve(axes, "score (%)" if run.unit == "score" else "return")
    # Below the plot: labels may be as wide as the plot, and have several lines.
    legend = figure.legend(loc="outside lower center", frameon=False, fontsize=8)
    for text in legend.get_texts():
        text.set_parse_math(False)
    lines = sum(text.get_text().count("\n") + 1 for text in legend.get_texts())
    figure.set_size_inches(7, 4.2 + 0.16 * lines)
    save(figure, path)


def _iqm(values: np.ndarray) -> str:
    value, low, high = estimate(iqm, [values])
    spread = "" if np.isnan(low) else f" [{low:.1f}, {high:.1f}]"
    return f"{value:.1f}{spread}"


if __name__ == "__main__":
    sys.exit(main())
