"""Figures of a run: PNG files drawn without a display."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import scipy.stats
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cocoa.anchors.diagnostics import Diagnostics
from cocoa.errors import escaped
from cocoa.runs.metrics import read_metrics
from cocoa.storage.files import atomic_write

STATE, ANCHOR, DELTA = "#4c72b0", "#dd8452", "#55a868"
_MOST_MARKERS = 30
_PANELS = 3
"""In a row."""
_LARGEST = 1e100
"""Of larger numbers the intervals and axes would overflow."""


def learning_curve(folder: Path, behaviour: float | None = None, updates: int | None = None) -> Path:
    """Draw the score, or the return without a reference, of the run in `folder`; return the PNG's path.

    `behaviour` is the data's own score or return, drawn as a dashed line. Behind `updates`, a dotted line, a
    run counts environment steps; None: it makes none.
    """
    metrics = read_metrics(folder / "metrics.csv")
    unit = "score" if metrics.seeds("evaluation/score") else "return"
    steps, values = metrics.values(f"evaluation/{unit}")
    figure = Figure(figsize=(6.4, 4), layout="constrained")
    axes = figure.add_subplot()
    draw_curve(axes, steps, values, "mean of seeds" if len(values) > 1 else "policy", STATE)
    if behaviour is not None:
        axes.axhline(behaviour, color="0.3", linestyle="--", linewidth=1, label="data")
    if updates is not None:
        axes.axvline(updates, color="0.3", linestyle=":", linewidth=1, label="online from here")
    axes.set_title(escaped(" / ".join(folder.parts[-3:])), fontsize=10, parse_math=False)
    steps_name = "updates" if updates is None else "updates, then environment steps"
    finish_curve(axes, value_label(unit), steps_name)
    axes.legend(frameon=False)
    path = folder / "learning_curve.png"
    save(figure, path)
    return path


def held_out_curves(folder: Path) -> Path:
    """Draw each metric of the held-out transitions beside the training's of the same name; return the PNG."""
    metrics = read_metrics(folder / "metrics.csv")
    names = metrics.held_out()
    rows = -(-len(names) // _PANELS)
    figure = Figure(figsize=(3.6 * _PANELS, 2.6 * rows + 0.4), layout="constrained")
    panels = figure.subplots(rows, _PANELS, squeeze=False).flat
    for axes in panels[len(names) :]:
        axes.set_axis_off()
    for axes, name in zip(panels, names, strict=False):
        for group, label, color in (("training", "training", STATE), ("held_out", "held out", ANCHOR)):
            steps, values = metrics.values(f"{group}/{name}")
            if values.size:
                draw_curve(axes, steps, values, label, color, each_seed=False)
        finish_curve(axes, name)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=2, frameon=False)
    path = folder / "held_out.png"
    save(figure, path)
    return path


def save(figure: Figure, path: Path) -> None:
    """Write a figure as a PNG file, whole or not at all. Raises RunError if it cannot be written."""
    atomic_write(path, drawn(figure, format="png", dpi=130))


def drawn(figure: Figure, **options: Any) -> bytes:
    """Return what `savefig` writes; letters of names that no font has are boxes, without a warning."""
    content = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from font")
        figure.savefig(content, **options)
    return content.getvalue()


def draw_curve(
    axes: Axes,
    steps: np.ndarray,
    values: np.ndarray,
    label: str,
    color: Any,
    line: Any = "-",
    *,
    each_seed: bool = True,
) -> None:
    """Draw the mean of `values` (seeds, T) with its 95 % interval, and each seed as a thin line if wanted.

    Of two seeds the range is drawn instead: the interval is nearly thirteen times as wide and hides the rest.
    The label says how many seeds diverged; where one has, there is no mean.
    """
    finite = np.isfinite(values)
    if diverged := int((~finite.all(axis=1)).sum()):
        label = f"{label} ({diverged} of {len(values)} seeds diverged)"
    values = np.where(finite, values.clip(-_LARGEST, _LARGEST), np.nan)
    marker = "o" if len(steps) <= _MOST_MARKERS else None
    style = {"color": color, "linestyle": line, "linewidth": 2, "marker": marker, "markersize": 3}
    axes.plot(steps, values.mean(axis=0), label=label, **style)
    if len(values) < 2:
        return
    for seed in values if each_seed else ():
        axes.plot(steps, seed, color=color, linewidth=0.6, alpha=0.5)
    mean = values.mean(axis=0)
    half = scipy.stats.t.ppf(0.975, len(values) - 1) * scipy.stats.sem(values, axis=0)
    low, high = (values.min(axis=0), values.max(axis=0)) if len(values) == 2 else (mean - half, mean + half)
    axes.fill_between(steps, low, high, color=color, alpha=0.12, linewidth=0)


def value_label(unit: str) -> str:
    """Return the name of an axis of scores or of returns: `unit` is "score" or "return"."""
    return "score (%)" if unit == "score" else "return"


def finish_curve(axes: Axes, label: str, steps: str = "updates") -> None:
    """Name the axes and fit them to the lines: the interval of two seeds may be far wider than the plot."""
    heights = np.concatenate([np.asarray(line.get_ydata(), float) for line in axes.lines])
    heights = heights[np.isfinite(heights)]
    if heights.size:
        margin = 0.15 * np.ptp(heights) or 1.0
        axes.set_ylim(heights.min() - margin, heights.max() + margin)
    axes.set_xlabel(steps)
    axes.set_ylabel(label)
    last = max((np.max(line.get_xdata(), initial=0.0) for line in axes.lines), default=0.0)
    axes.set_xlim(0, max(axes.get_xlim()[1], last))  # also where the curves have no numbers any more
    axes.ticklabel_format(axis="x", style="sci", scilimits=(0, 5))
    axes.grid(alpha=0.25)


def anchor_plot(diagnostics: Diagnostics, path: Path) -> None:
    """Draw, for each group of states, distances of states and anchors to the data, and of differences."""
    figure = Figure(figsize=(9, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    groups = list(diagnostics.groups)
    _boxes(left, diagnostics, {"nn_state": ("state", STATE), "nn_anchor": ("anchor", ANCHOR)})
    left.set_title("Distance to the nearest data state", fontsize=10)
    _boxes(right, diagnostics, {"delta": ("|Δ|", STATE), "nn_delta": ("to the nearest training Δ", DELTA)})
    right.set_title("Difference Δ = state - anchor", fontsize=10)
    for axes in (left, right):
        axes.set_xticks(range(len(groups)), [group.replace("-", "\n", 1) for group in groups], fontsize=8)
        axes.set_ylabel("standard deviations of the data")
        axes.set_ylim(bottom=0)
        axes.grid(axis="y", alpha=0.25)
        axes.legend(frameon=False, loc="upper left")
    save(figure, path)


def _boxes(axes: Axes, diagnostics: Diagnostics, measures: dict[str, tuple[str, str]]) -> None:
    """Draw for each group a box (quartiles, whiskers at 5 % and 95 %) per measure, side by side."""
    for offset, (measure, (label, color)) in zip((-0.18, 0.18), measures.items(), strict=True):
        data = [group[measure] for group in diagnostics.groups.values()]
        boxes = axes.boxplot(
            data,
            positions=np.arange(len(data)) + offset,
            widths=0.3,
            whis=(5, 95),
            showfliers=False,
            patch_artist=True,
            medianprops={"color": "black"},
            manage_ticks=False,
        )
        for box in boxes["boxes"]:
            box.set(facecolor=color, alpha=0.8)
        axes.bar(0, 0, color=color, label=label)
