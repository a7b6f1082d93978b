"""Scores as files for other programs: CSV, and LaTeX with booktabs."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Mapping, Sequence

from cocoa.report.groups import Group
from cocoa.report.online import gains, steps_of
from cocoa.report.scores import Scores, best
from cocoa.statistics.bootstrap import Estimate

_COLUMNS = (
    *("dataset", "method", "unit", "updates", "seeds", "diverged"),
    *("last_iqm", "last_iqm_low", "last_iqm_high", "last_mean"),
    *("last10_iqm", "last10_iqm_low", "last10_iqm_high", "data"),
    *("online_steps", "online_before_iqm", "online_mean_iqm", "online_regret_iqm"),
)
_SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "[": "{[}",
    "]": "{]}",
    **{char: f"\\{char}" for char in "&%$#_{}"},
}


def to_csv(groups: Sequence[Group]) -> str:
    """Return a CSV file with a row for each dataset and method; what is not known or diverged is empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    writer.writerows(map(_row, groups))
    return text.getvalue()


def _row(group: Group) -> list[str]:
    run = group.runs[0]
    numbers = [*group.last_iqm, float(group.last.mean()), *group.last_ten_iqm, run.behaviour]
    counts = (run.updates, len(group.seeds), group.diverged)
    names = (_plain(group.dataset), _plain(group.label), run.unit)
    return [*names, *map(str, counts), *map(_text, numbers), *_online(group)]


def _online(group: Group) -> list[str]:
    """Return environment steps, the scores before and in the mean, and the regret; empty: there is none."""
    for gain in gains([group]):
        values = (math.nan if one is None else one.value for one in (gain.before, gain.mean, gain.regret))
        return [str(steps_of(gain)), *map(_text, values)]
    return [""] * 4


def _text(value: float) -> str:
    return repr(float(value)) if math.isfinite(value) else ""


def _plain(text: str) -> str:
    """Return a name that no spreadsheet takes for a formula."""
    return f"'{text}" if text[:1] in "=+-@" else text


def to_latex(scores: Scores) -> str:
    """Return a LaTeX table with a row for each dataset and a column for each method.

    In bold are the best of a row: the highest, and those whose intervals reach the lower end of its interval.
    """
    columns = "l" + "r" * len(scores.methods)
    head = ["Dataset", *map(_escaped, scores.methods)]
    lines = [
        "% \\usepackage{booktabs}",
        "% Interquartile means over seeds of the last evaluation with 95 % bootstrap intervals.",
        "% Bold: the highest, and all whose interval reaches the lower end of its interval.",
        f"\\begin{{tabular}}{{{columns}}}",
        "\\toprule",
        _line(head),
        "\\midrule",
        *(_line([_escaped(dataset), *_cells(scores, row)]) for dataset, row in scores.by_dataset.items()),
    ]
    if scores.overall:
        lines += ["\\midrule", _line(["All", *_cells(scores, scores.overall)])]
    return "\n".join([*lines, "\\bottomrule", "\\end{tabular}", ""])


def _cells(scores: Scores, row: Mapping[str, Estimate]) -> Iterator[str]:
    bold = best(row)
    for method in scores.methods:
        text = _number(row[method]) if method in row else "--"
        yield f"\\textbf{{{text}}}" if method in bold else text


def _number(one: Estimate) -> str:
    if not math.isfinite(one.value):
        return "diverged"
    ends = "" if math.isnan(one.low) or math.isnan(one.high) else f" [{one.low:.1f}, {one.high:.1f}]"
    return f"{one.value:.1f}{ends}".replace("-", "$-$").replace("inf", r"$\infty$")


def _line(cells: Sequence[str]) -> str:
    return " & ".join(cells) + r" \\"


def _escaped(text: str) -> str:
    return "".join(_SPECIAL.get(char, char) for char in text)
