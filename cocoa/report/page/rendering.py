"""HTML pages in one file that needs nothing else: templates filled with escaped text, and figures as SVG."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import matplotlib
from matplotlib.figure import Figure

from cocoa.errors import escaped
from cocoa.extras import require
from cocoa.runs.plots import drawn

if TYPE_CHECKING:
    from jinja2 import Environment

INK = "#1a1a1a"
"""Of axes and text in figures; on the page it is the colour of the text around them."""
STYLE: Any = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.sans-serif": ["Arial", "Helvetica", "Liberation Sans", "DejaVu Sans"],
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.labelsize": 10,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.fontsize": 9,
    "text.parse_math": False,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}
"""Matplotlib's settings for figures on a page: text stays text, in the size of the page's."""
_PACKAGE = "cocoa.report.page"
_TEMPLATES = files(_PACKAGE) / "templates"


@dataclass(frozen=True)
class Chart:
    """A figure, drawn in the `STYLE`, with the words around it."""

    title: str
    caption: str
    figure: Figure


def render(template: str, **values: Any) -> str:
    """Return the page of a template with `values`, in which text is escaped.

    Raises DataError if the extra `report` is not installed.
    """
    script = (_TEMPLATES / "table.js").read_text()
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    style = (_TEMPLATES / "style.css").read_text()
    page = _environment().get_template(template)
    return page.render(style=style, script=script, script_digest=digest, **values)


@cache
def _environment() -> Environment:
    require("report", "An HTML page")
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader(_PACKAGE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: _shown(value) if type(value) is str else value,
    )
    environment.globals["svg"] = svg
    return environment


def _shown(text: str) -> str:
    """Return a text without characters that do not print, and with its percent signs beside their numbers."""
    return escaped(text).replace(" %", "\N{NO-BREAK SPACE}%")


def svg(chart: Chart, number: int) -> Any:
    """Return a chart as SVG to put into HTML; `number` keeps its ids from being those of another."""
    from markupsafe import Markup, escape

    with matplotlib.rc_context(STYLE | {"svg.hashsalt": str(number)}):
        text = drawn(chart.figure, format="svg", metadata={"Date": None}, transparent=True).decode()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    text = re.sub(r'\sid="([\w.]+_\d+)"', "", text)  # of groups, which nothing refers to
    text = re.sub(r"(?<=\d\.\d)\d+(?=[\s\",)])", "", text)  # tenths of a point are enough
    text = re.sub(r"\s*\n\s*", " ", text).replace(INK, "currentColor")
    return Markup(text.replace("<svg", f'<svg role="img" aria-label="{escape(escaped(chart.title))}"', 1))
