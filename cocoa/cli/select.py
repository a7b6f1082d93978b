"""`cocoa select`: rank policies without an environment."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from cocoa.cli.runs_and_fields import words_of
from cocoa.config.help import screen_width
from cocoa.config.help import table as two_columns
from cocoa.config.typed import build, document, literal
from cocoa.errors import RunError, UserError
from cocoa.report.markdown import table
from cocoa.runs.terminal import print_result
from cocoa.selection.comparison import KS, LABELS, Comparison, compare
from cocoa.selection.select import FILE, select_run
from cocoa.selection.settings import Selection

_USAGE = """\
Rank the last policies of runs without an environment, by what recorded episodes say of them: fitted Q
evaluation, and the initial-state value and TD error of the runs' own critics.

Usage: {program} <run, or folder above runs> ... [field=value ...] [--trust]

  {program} runs/first
  {program} runs/first episodes=all updates=20000

Writes {file} into each run's folder. What is there already, of the same settings, is not computed again.
--trust imports the modules that a run's configuration names, which runs their code."""


def run(arguments: Sequence[str], program: str) -> int:
    """Rank what the arguments after `select` name, print tables and return the exit status.

    It is 1 if a run is left out. The help names the command `program`. Raises a UserError for a mistake of
    the user.
    """
    if not arguments or {"-h", "--help"} & {*arguments}:
        texts = document(Selection)
        rows = [(f"{x.name}={literal(x.default)}", texts.get(x.name, "")) for x in fields(Selection)]
        print_result(
            f"{_USAGE.format(program=program, file=FILE)}\n\n{two_columns('Fields:', rows, screen_width())}"
        )
        return 0
    words = words_of(arguments, [field.name for field in fields(Selection)], program)
    settings = build(Selection, words.fields)
    chosen = _select(words.runs, settings, words.trust)
    print_result("\n\n".join(text_of(comparison) for comparison in compare(chosen)))
    return int(len(chosen) < len(words.runs))


def _select(runs: Sequence[Path], settings: Selection, trust: bool) -> list[Path]:
    """Compute the estimates of runs, and return those that have them. Raises a UserError if none has."""
    chosen = []
    for folder in runs:
        try:
            selection = select_run(folder, settings, trust=trust)
        except UserError as error:
            if len(runs) == 1:
                raise
            print(f"Left out: {folder}: {error}", file=sys.stderr)
            continue
        print(f"{folder}: {_data(selection)}", file=sys.stderr)
        chosen.append(folder)
    if not chosen:
        raise RunError("Of none of these runs could policies be estimated; the lines above say why.")
    return chosen


def _data(selection: dict[str, Any]) -> str:
    """Return which episodes were used."""
    fitted, first = selection["fitted_to"], selection["initial_states"]
    text = (
        f"Q fitted to {fitted['transitions']:,} transitions of {fitted['count']:,} episodes "
        f"({fitted['episodes'].replace('_', ' ')}), averaged over {first['count']:,} first states"
    )
    if first["episodes"] == "all":
        text += ". The run holds out no episodes, so its policies were trained on these"
    return text


def text_of(comparison: Comparison) -> str:
    """Return the ranking of the policies of a dataset, and how well each estimate agrees with the returns."""
    settings = ", ".join(f"{name}={literal(value)}" for name, value in comparison.settings.items())
    rows = [
        (
            str(rank),
            x.method,
            str(x.seed),
            *(_cell(x.estimates[name]) for name in LABELS),
            _cell(x.value),
            x.folder.name,
        )
        for rank, x in enumerate(comparison.candidates, start=1)
    ]
    ranking = table(("rank", "method", "seed", *LABELS.values(), "return", "run"), rows)
    parts = [f"{comparison.dataset} ({settings})", ranking]
    if agreements := comparison.agreements():
        header = (
            *("estimate", "policies", "Spearman"),
            *(f"regret@{k}" for k in KS),
            *(f"best {k} found" for k in KS),
        )
        numbers = [
            (
                *(LABELS[x.estimate], str(x.policies), f"{x.spearman:.2f}"),
                *(f"{regret:.4g}" for regret in x.regret),
                *(f"{share:.0%}" for share in x.best),
            )
            for x in agreements
        ]
        parts.append(table(header, numbers))
    return "\n\n".join(parts)


def _cell(number: float) -> str:
    if math.isinf(number):
        return "diverged"
    return "-" if math.isnan(number) else f"{number:.4g}"
