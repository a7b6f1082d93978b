"""Figures over runs: PNG files with the curves of a dataset."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure

from cocoa.report.groups import Group
from cocoa.runs.plots import draw_curve, finish_curve, save, value_label

_LINES = [line for line in ("-", "--", ":", "-.") for _ in range(10)]
"""Line styles of the figure, each for all colours."""


def file_names(groups: Sequence[Group]) -> dict[str, str]:
    """Return a distinct file name for the figure of each dataset, without special characters."""
    names: dict[str, str] = {}
    for dataset in dict.fromkeys(group.dataset for group in groups):
        plain = re.sub(r"[^\w.+=-]", "_", dataset).strip("_.")[:100] or "dataset"
        taken = {name.casefold() for name in names.values()}
        tries = (plain, *(f"{plain}-{number}" for number in range(2, len(groups) + 2)))
        names[dataset] = next(name for name in tries if name.casefold() not in taken)
    return names


def draw(groups: Sequence[Group], path: Path) -> None:
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
    finish_curve(axes, value_label(run.unit))
    # Below the plot: labels may be as wide as the plot, and have several lines.
    legend = figure.legend(loc="outside lower center", frameon=False, fontsize=8)
    for text in legend.get_texts():
        text.set_parse_math(False)
    lines = sum(text.get_text().count("\n") + 1 for text in legend.get_texts())
    figure.set_size_inches(7, 4.2 + 0.16 * lines)
    save(figure, path)
