"""Colours, lines and sizes of the figures on a page."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import cycle
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cocoa.report.page.tables import Key

COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8a8a8a", "#7b4fb5")
"""From the palette of Okabe and Ito, for the colour-blind, and two more."""
PLAIN, WRAPPED = COLORS[0], COLORS[1]
"""Of an algorithm without and with COCOA, where a figure shows a single algorithm."""
MOST_CHARTS = 24
"""Of one kind on a page."""
_LINES = {"+cocoa": "-", "": (0, (4, 2)), "other": (0, (1, 1.5))}
_DASHES = {"+cocoa": "", "": "6 3", "other": "2 2"}
_SIZE = (4.6, 3.0)  # inches; 72 points each, so that text is nearly as large as that of the page


def panel(height: float = _SIZE[1], long_labels: bool = False) -> tuple[Figure, Axes]:
    """Return a figure with one plot; `height` is in inches.

    Plots have the same place in all figures, and those with `long_labels` beside them what is left.
    """
    figure = Figure(figsize=(_SIZE[0], height), layout="constrained" if long_labels else None)
    axes = figure.add_subplot()
    if not long_labels:
        figure.subplots_adjust(left=0.16, right=0.98, bottom=0.5 / height, top=1 - 0.08 / height)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.set_axisbelow(True)
    return figure, axes


class Lines:
    """The colour of each algorithm, and the line of each way to use it: solid with COCOA, dashed without."""

    def __init__(self, labels: Sequence[str]):
        """Take the labels of all methods of a report."""
        self._labels = list(dict.fromkeys(labels))
        bases = dict.fromkeys(map(_base, self._labels))
        self._colors = dict(zip(bases, cycle(COLORS), strict=False))

    def color(self, label: str) -> str:
        """Return the colour of a method."""
        return self._colors[_base(label)]

    def line(self, label: str) -> Any:
        """Return Matplotlib's line style of a method."""
        return _LINES[_kind(label)]

    def keys(self) -> list[Key]:
        """Return the legend."""
        return [Key(label, self.color(label), _DASHES[_kind(label)]) for label in self._labels]


def _base(label: str) -> str:
    return re.sub(r"^(\S*?)\+cocoa\S*", r"\1", label)


def _kind(label: str) -> str:
    method = label.split(" ", 1)[0]
    return "" if "+cocoa" not in method else "+cocoa" if method.endswith("+cocoa") else "other"


def thinned(steps: np.ndarray, values: np.ndarray, most: int = 50) -> tuple[np.ndarray, np.ndarray]:
    """Return about `most` of the points of curves (seeds, T) over steps (T,), the last among them."""
    if len(steps) <= most:
        return steps, values
    kept = np.unique(np.linspace(0, len(steps) - 1, most).round().astype(int))
    return steps[kept], values[:, kept]
