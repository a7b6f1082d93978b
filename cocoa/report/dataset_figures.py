"""Figures of a dataset: returns, lengths, rewards, coverage and actions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

from cocoa.data.dataset import Dataset
from cocoa.data.inspection import (
    Inspection,
    episode_lengths,
    kind_of_end,
    principal,
    sample,
)
from cocoa.report.page.rendering import INK, Chart

ENDS = {"terminal": "#d55e00", "time limit": "#0072b2", "cut": "#8a8a8a"}
"""How episodes end, and the colour of each: from the palette of Okabe and Ito, for the colour-blind."""
PLAIN = "#0072b2"
_LOW, _HIGH = "#56b4e9", "#e69f00"
_SIZE = (5.2, 3.3)  # inches; 72 points each, so that text is as large as that of the page
_DOTS = 1500  # episodes that are drawn one by one
_BINS = 40
_DIMENSIONS = 32  # actions in the chart of those at a bound


def charts(dataset: Dataset, inspection: Inspection) -> Iterator[Chart]:
    """Yield the figures of a dataset one after the other, in the order in which they are worth a look."""
    yield _returns(dataset, inspection)
    yield _lengths(dataset)
    if len(dataset.complete) > 1:
        yield _over_time(dataset)
    yield _rewards(dataset, inspection)
    yield from _coverage(dataset)
    yield _saturation(inspection)


def _new() -> tuple[Figure, Axes]:
    figure = Figure(figsize=_SIZE, layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", alpha=0.25, linewidth=0.6)
    axes.set_axisbelow(True)
    return figure, axes


def _stacked(axes: Axes, values: np.ndarray, kinds: np.ndarray, whole: bool = False) -> None:
    """Draw a histogram of episodes, stacked by how they end."""
    groups = {name: values[kinds == kind] for kind, name in enumerate(ENDS) if (kinds == kind).any()}
    low, high = float(values.min()), float(values.max())
    bins = _BINS
    if whole and high - low < _BINS:
        edges = np.arange(low, high + 2) - 0.5
    elif low == high:
        edges = np.array([low - 0.5, low + 0.5])
        axes.set_xlim(low - 3, low + 3)
    else:
        edges = np.linspace(low, high, bins + 1)
    colors = [ENDS[name] for name in groups]
    labels = [f"{name} ({len(group):,})" for name, group in groups.items()]
    axes.hist(list(groups.values()), edges, stacked=True, color=colors, label=labels)  # type: ignore[arg-type]
    axes.set_ylabel("episodes")
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))


def _logarithmic(axes: Axes) -> None:
    axes.set_yscale("log")
    _write_counts(axes)


def _write_counts(axes: Axes) -> None:
    axes.yaxis.set_major_formatter(FuncFormatter(_count))
    axes.yaxis.set_minor_formatter(NullFormatter())


def _mean(axes: Axes, mean: float) -> None:
    axes.axvline(mean, color=INK, linewidth=1.2, linestyle="--", label=f"mean {mean:.4g}")


def _legend(figure: Figure) -> None:
    """Put the legend above the plot, where it hides nothing."""
    figure.legend(
        loc="outside upper right", ncols=4, markerscale=3, frameon=False, fontsize=9, columnspacing=1.2
    )


def _returns(dataset: Dataset, inspection: Inspection) -> Chart:
    figure, axes = _new()
    _stacked(axes, dataset.episode_returns, kind_of_end(dataset))
    _mean(axes, inspection.returns.mean)
    axes.set_xlabel("return")
    _legend(figure)
    caption = "Sum of the rewards of each episode, by how it ends."
    if inspection.references:
        low, high = inspection.references
        unit = (high - low) / 100
        functions = (lambda x: (np.asarray(x) - low) / unit, lambda y: low + unit * np.asarray(y))
        top = axes.secondary_xaxis("top", functions=functions)
        top.set_xlabel("normalized score (%)")
        caption += " 0 % is a random policy's return, 100 % an expert's."
    return Chart("Returns", caption, figure)


def _lengths(dataset: Dataset) -> Chart:
    figure, axes = _new()
    lengths = episode_lengths(dataset)
    kept = lengths > 0
    _stacked(axes, lengths[kept], kind_of_end(dataset)[kept], whole=True)
    axes.set_xlabel("transitions")
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    _legend(figure)
    return Chart("Lengths of episodes", "Transitions in each episode, by how it ends.", figure)


def _over_time(dataset: Dataset) -> Chart:
    figure, axes = _new()
    ends = np.cumsum(episode_lengths(dataset))
    returns, kinds = dataset.episode_returns, kind_of_end(dataset)
    caption = "Return of each episode, in the order of the data."
    if len(returns) <= _DOTS:
        for kind, (name, color) in enumerate(ENDS.items()):
            if (kinds == kind).any():
                axes.scatter(ends[kinds == kind], returns[kinds == kind], 7, color, label=name, linewidths=0)
    else:
        groups = np.array_split(np.arange(len(returns)), min(80, len(returns)))
        x = [ends[group[-1]] for group in groups]
        for low, high, alpha in ((0.05, 0.95, 0.2), (0.25, 0.75, 0.35)):
            band = np.array([np.quantile(returns[group], (low, high)) for group in groups])
            label = f"{low:.0%} to {high:.0%}".replace("%", " %")
            axes.fill_between(x, *band.T, color=PLAIN, alpha=alpha, linewidth=0, label=label)
        means = [returns[group].mean() for group in groups]
        axes.plot(x, means, color=INK, linewidth=1.2, label="mean")
        caption = (
            f"Mean and quantiles of about {len(groups[0]):,} consecutive episodes, in the order of the data."
        )
    _legend(figure)
    axes.set_xlabel("transitions before the end of the episode")
    axes.set_ylabel("return")
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(FuncFormatter(_count))
    return Chart("Returns over the recording", caption, figure)


def _rewards(dataset: Dataset, inspection: Inspection) -> Chart:
    figure, axes = _new()
    counts = inspection.reward_values
    if counts:
        names = [f"{value:g}" for value in counts]
        axes.bar(names, list(counts.values()), color=PLAIN, width=0.6)
        for place, count in enumerate(counts.values()):
            text = _percent(count / len(dataset))
            axes.text(place, count, text, ha="center", va="bottom", fontsize=9 if len(counts) < 8 else 6)
        axes.set_xlim(-1, len(counts))
    else:
        spread = inspection.rewards
        values = dataset.rewards[sample(len(dataset))]
        width = spread.upper - spread.lower
        low, high = max(spread.low, spread.lower - width), min(spread.high, spread.upper + width)
        edges = np.linspace(low, high, _BINS + 1) if low < high else _BINS
        inside = values.clip(low, high) if low < high else values
        axes.hist(inside, edges, color=PLAIN, weights=np.full(len(values), len(dataset) / len(values)))  # type: ignore[arg-type]
        axes.axvline(spread.mean, color=INK, linewidth=1.2, linestyle="--", label=f"mean {spread.mean:.4g}")
        _legend(figure)
    _logarithmic(axes)
    axes.set_xlabel("reward")
    axes.set_ylabel("transitions (logarithmic)")
    caption = "Rewards of the transitions." + (
        "" if counts else " Rare extremes are counted in the first and the last bar."
    )
    return Chart("Rewards", caption, figure)


def _coverage(dataset: Dataset) -> Iterator[Chart]:
    """Yield where the observations are, and which returns the episodes through there have."""
    rows = sample(len(dataset))
    places, shares = principal(dataset.observations[rows])
    if not shares.any():
        return
    places = _within(places)
    returns = dataset.episode_returns[dataset.episodes[rows]]
    named = " and ".join(f"{100 * share:.0f} %" for share in shares[:2])
    basis = f"First two principal components of the standardised observations, {named} of the variance."
    for title, caption, colored, label in (
        ("Coverage of states", "Bright: many transitions.", None, "transitions (logarithmic)"),
        ("Returns by state", "Bright: episodes through here have high returns.", returns, "mean return"),
    ):
        figure, axes = _new()
        drawn = axes.hexbin(
            *places.T,
            C=colored,
            gridsize=34,
            mincnt=1,
            cmap="cividis",
            bins="log" if colored is None else None,
            linewidths=0.1,
        )
        bar = figure.colorbar(drawn, ax=axes, label=label, pad=0.02)
        bar.outline.set_visible(False)  # type: ignore[operator]
        _write_counts(bar.ax)
        axes.grid(False)
        axes.set_xlabel("component 1")
        axes.set_ylabel("component 2")
        yield Chart(title, f"{caption} {basis}", figure)


def _within(places: np.ndarray) -> np.ndarray:
    """Return points of which the farthest are moved to the edge, so that they do not shrink the rest."""
    low, high = np.quantile(places, (0.001, 0.999), axis=0)
    return places.clip(low, high)


def _saturation(inspection: Inspection) -> Chart:
    actions = inspection.actions[:_DIMENSIONS]
    figure, axes = _new()
    figure.set_size_inches(_SIZE[0], max(_SIZE[1], 1.2 + 0.19 * len(actions)))
    rows = np.arange(len(actions))
    low = 100 * np.array([column.at_low or 0.0 for column in actions])
    high = 100 * np.array([column.at_high or 0.0 for column in actions])
    axes.barh(rows, -low, color=_LOW, label="at the lower bound")
    axes.barh(rows, high, color=_HIGH, label="at the upper bound")
    reach = max(5.0, 1.25 * max(low.max(), high.max()))
    for row, left, right in zip(rows, low, high, strict=True):
        axes.text(-float(left), int(row), f"{left:.1f}  ", ha="right", va="center", fontsize=8)
        axes.text(float(right), int(row), f"  {right:.1f}", ha="left", va="center", fontsize=8)
    axes.axvline(0, color=INK, linewidth=0.8)
    axes.set_xlim(-reach, reach)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{abs(x):g}"))
    axes.set_yticks(rows, [str(row) for row in rows])
    axes.invert_yaxis()
    axes.set_ylabel("dimension of the action")
    axes.set_xlabel("transitions (%)")
    axes.grid(False)
    _legend(figure)
    more = f" The first {_DIMENSIONS} dimensions." if len(inspection.actions) > _DIMENSIONS else ""
    return Chart(
        "Actions at their bounds", f"Share of the actions at a bound of its dimension.{more}", figure
    )


def histograms(matrix: np.ndarray, bins: int = 24) -> Sequence[np.ndarray]:
    """Return the heights, between 0 and 1, of a histogram from the lowest to the highest of each column."""
    counted = [np.histogram(column, bins)[0] for column in matrix[sample(len(matrix))].T]
    return [heights / heights.max() for heights in counted]


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %" if share < 0.1 else f"{100 * share:.4g} %"


def _count(number: float, _: int | None = None) -> str:
    for unit, name in ((1e6, "M"), (1e3, "k")):
        if abs(number) >= unit:
            return f"{number / unit:g}{name}"
    return f"{number:g}"
