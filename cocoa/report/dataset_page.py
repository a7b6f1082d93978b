"""A dataset's statistics and figures as one HTML page that needs nothing else."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from string import Template
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from cocoa.data.dataset import Dataset
from cocoa.data.inspection import Column, Inspection
from cocoa.errors import escaped, shown
from cocoa.report.dataset_figures import ENDS, PLAIN, charts, histograms
from cocoa.report.dataset_text import facts, note
from cocoa.storage.files import atomic_write

_STYLE: Any = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.sans-serif": ["Arial", "Helvetica", "Liberation Sans", "DejaVu Sans"],
    "font.size": 10,
    "axes.labelsize": 10,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "text.parse_math": False,
}
_MOST = 200  # dimensions in a table

_PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$name</title>
<style>
  body { margin: 0 auto; padding: 1.2rem; max-width: 76rem; color: #1a1a1a; background: #fff;
    font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Arial, sans-serif; }
  h1 { font-size: 1.6rem; margin: 0; overflow-wrap: anywhere; }
  h2 { font-size: 1.15rem; margin: 2.2rem 0 0.6rem; }
  h3 { font-size: 1rem; margin: 0; }
  p { margin: 0.2rem 0; max-width: 46rem; }
  .quiet, figcaption { color: #555; font-size: 0.87rem; }
  .tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(8.5rem, 1fr)); gap: 0.6rem;
    margin: 1.2rem 0; }
  .tile { background: #f4f6f8; border-radius: 0.4rem; padding: 0.6rem 0.8rem; }
  .tile b { display: block; font-size: 1.3rem; font-weight: 600; }
  .tile span { color: #555; font-size: 0.85rem; }
  .bar { display: flex; height: 0.9rem; border-radius: 0.2rem; overflow: hidden; }
  .key i { display: inline-block; width: 0.7rem; height: 0.7rem; border-radius: 0.15rem;
    margin: 0 0.3rem 0 0; }
  .key span { margin-right: 1.2rem; white-space: nowrap; font-size: 0.9rem; }
  .problems { border-left: 4px solid #e69f00; background: #fdf6e7; padding: 0.6rem 1rem 0.6rem 2rem;
    margin: 0; max-width: 60rem; }
  .problems li { margin: 0.2rem 0; }
  .charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(22rem, 100%), 1fr));
    gap: 1.8rem 2.2rem; }
  figure { margin: 0; }
  figure svg { width: 100%; height: auto; display: block; margin-top: 0.3rem; }
  .scroll { overflow-x: auto; }
  table { border-collapse: collapse; font-size: 0.87rem; font-variant-numeric: tabular-nums; }
  th, td { text-align: right; padding: 0.2rem 0.7rem 0.2rem 0; white-space: nowrap; }
  th { font-weight: 600; border-bottom: 1px solid #bbb; }
  td { border-bottom: 1px solid #eee; }
  td.shape, th.shape { text-align: left; }
  td.note { text-align: left; white-space: normal; color: #555; min-width: 9rem; }
  .shape svg { width: 7.5rem; height: 1.7rem; display: block; }
  dl { display: grid; grid-template-columns: max-content 1fr; gap: 0.15rem 1rem; font-size: 0.9rem; }
  dt { color: #555; } dd { margin: 0; overflow-wrap: anywhere; }
  @media (max-width: 36rem) { .wide { display: none; } body { padding: 0.8rem; }
    dl { grid-template-columns: 1fr; gap: 0; } dd { margin-bottom: 0.5rem; } }
</style>
</head>
<body>
<h1>$name</h1>
<p class="quiet">$subtitle</p>
<div class="tiles">$tiles</div>
<p>How episodes end</p>
<div class="bar">$bar</div>
<p class="key">$key</p>
<h2>Problems</h2>
$problems
<h2>Figures</h2>
<div class="charts">$charts</div>
$tables
<h2>The data</h2>
<dl>$facts</dl>
</body>
</html>
""")


def write_page(path: Path, dataset: Dataset, inspection: Inspection, problems: Sequence[str]) -> None:
    """Write the page of a dataset. Raises RunError if it cannot be written."""
    atomic_write(path, page(dataset, inspection, problems).encode())


def page(dataset: Dataset, inspection: Inspection, problems: Sequence[str]) -> str:
    """Return the page: statistics, `problems` as sentences, figures as SVG, a table of all dimensions."""
    with matplotlib.rc_context(_STYLE):
        figures = "".join(
            f"<figure><h3>{chart.title}</h3><figcaption>{_caption(chart.caption)}</figcaption>"
            f"{_svg(chart.figure, number, chart.title)}</figure>"
            for number, chart in enumerate(charts(dataset, inspection))
        )
    return _PAGE.substitute(
        name=_text(shown(inspection.name)),
        subtitle=_text(f"Dataset of {inspection.env or 'an environment that is not known'}"),
        tiles=_tiles(inspection),
        bar=_bar(inspection),
        key=_key(inspection),
        problems=_problems(problems),
        charts=figures,
        tables=_table("Observations", dataset.observations, inspection.observations)
        + _table("Actions", dataset.actions, inspection.actions),
        facts="".join(f"<dt>{name}</dt><dd>{_text(value)}</dd>" for name, value in facts(inspection).items()),
    )


def _text(text: str) -> str:
    return escape(escaped(text))


def _caption(text: str) -> str:
    return _text(text).replace(" %", "&nbsp;%")


def _tiles(inspection: Inspection) -> str:
    tiles = _numbers(inspection)
    return "".join(f'<div class="tile"><b>{value}</b><span>{name}</span></div>' for name, value in tiles)


def _numbers(inspection: Inspection) -> Iterator[tuple[str, str]]:
    yield "transitions", f"{inspection.transitions:,}"
    yield "episodes", f"{inspection.episodes:,}"
    yield "mean return", f"{inspection.returns.mean:,.4g}"
    if inspection.scores:
        yield "mean normalized score", f"{inspection.scores.mean:.1f} %"
    yield "highest return", f"{inspection.returns.high:,.4g}"
    yield "median length", f"{inspection.lengths.median:,.0f}"
    yield "numbers in an observation", f"{len(inspection.observations)}"
    yield "numbers in an action", f"{len(inspection.actions)}"


def _counts(inspection: Inspection) -> dict[str, int]:
    ends = inspection.ends
    return dict(zip(ENDS, (ends.terminal, ends.time_limit, ends.cut), strict=True))


def _bar(inspection: Inspection) -> str:
    return "".join(
        f'<div style="width:{100 * count / inspection.episodes:.2f}%;background:{ENDS[name]}"></div>'
        for name, count in _counts(inspection).items()
        if count
    )


def _key(inspection: Inspection) -> str:
    return "".join(
        f'<span><i style="background:{ENDS[name]}"></i>{name} {count:,}</span>'
        for name, count in _counts(inspection).items()
    )


def _problems(problems: Sequence[str]) -> str:
    if not problems:
        return "<p>None were found.</p>"
    return f'<ul class="problems">{"".join(f"<li>{_text(problem)}</li>" for problem in problems)}</ul>'


def _svg(figure: Figure, number: int, title: str) -> str:
    """Return a figure as SVG to put into HTML; `number` keeps its ids from being those of another."""
    content = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": str(number)}):
        figure.savefig(content, format="svg", metadata={"Date": None}, transparent=True)
    svg = content.getvalue()
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    svg = re.sub(r'\sid="([\w.]+_\d+)"', "", svg)  # of groups, which nothing refers to
    return svg.replace("<svg", f'<svg role="img" aria-label="{title}"', 1)


def _table(title: str, matrix: np.ndarray, columns: Sequence[Column]) -> str:
    """Return a table with a row for each dimension: its histogram and numbers."""
    columns = columns[:_MOST]
    header = (
        '<tr><th></th><th class="shape">lowest to highest</th><th>lowest</th><th class="wide">1 %</th>'
        '<th>median</th><th class="wide">mean</th><th class="wide">99 %</th><th>highest</th>'
        '<th class="wide">deviation</th><th></th></tr>'
    )
    shapes = histograms(matrix[:, : len(columns)])
    rows = "".join(
        f"<tr><td>{index}</td>{_cells(column, shape)}</tr>"
        for index, (column, shape) in enumerate(zip(columns, shapes, strict=True))
    )
    more = f"<p>The first {_MOST} of {matrix.shape[1]} dimensions.</p>" if matrix.shape[1] > _MOST else ""
    return f'<h2>{title}</h2>{more}<div class="scroll"><table>{header}{rows}</table></div>'


def _cells(column: Column, shape: np.ndarray) -> str:
    x = column.spread
    cells = (
        ("shape", _sparkline(shape)),
        ("", f"{x.low:.4g}"),
        ("wide", f"{x.lower:.4g}"),
        ("", f"{x.median:.4g}"),
        ("wide", f"{x.mean:.4g}"),
        ("wide", f"{x.upper:.4g}"),
        ("", f"{x.high:.4g}"),
        ("wide", f"{x.std:.3g}"),
        ("note", _text(note(column))),
    )
    return "".join(f'<td class="{kind}">{content}</td>' for kind, content in cells)


def _sparkline(heights: np.ndarray) -> str:
    """Return a histogram of bars without axes."""
    bars = "".join(
        f"M{5 * place} 24v-{max(1.0, 22 * height):.1f}h4v{max(1.0, 22 * height):.1f}z"
        for place, height in enumerate(heights)
        if height > 0
    )
    width = 5 * len(heights)
    return (
        f'<svg viewBox="0 0 {width} 25" preserveAspectRatio="none" aria-hidden="true">'
        f'<path d="{bars}" fill="{PLAIN}"/></svg>'
    )
