"""`cocoa evaluate`: many episodes of the last policies of runs."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from cocoa.cli.runs_and_fields import words_of
from cocoa.config.schema import seeds_of
from cocoa.config.typed import literal
from cocoa.errors import ConfigError, UserError
from cocoa.report import markdown
from cocoa.runs.folder import read_config
from cocoa.runs.reevaluation import EPISODES, FILE, FinalEvaluation, evaluate_run
from cocoa.runs.terminal import print_result
from cocoa.statistics.aggregates import iqm
from cocoa.statistics.bootstrap import estimate

_USAGE = """\
Evaluate the last policies of runs in many episodes, which start from other states than those in the training.

Usage: {program} <run, or folder above runs> ... [episodes={episodes}] [seeds=[0,1]] [--trust]

  {program} runs/hopper-medium-v2/iql/2026-11-24_12-00-00
  {program} runs/first episodes=100

Writes {file} into each run's folder, and a block into its summary.json. Episodes that are there already
are not played again. --trust imports the modules that a run's configuration names, which runs their code."""
_HEADER = ("seed", "episodes", "mean", "IQM", "95 % interval of the IQM", "mean length")


def run(arguments: Sequence[str], program: str) -> int:
    """Evaluate what the arguments after `evaluate` name, print tables and return the exit status.

    It is 1 if one of several runs cannot be evaluated. The help names the command `program`. Raises a
    UserError for a mistake of the user.
    """
    if not arguments or {"-h", "--help"} & {*arguments}:
        print_result(_USAGE.format(program=program, episodes=EPISODES, file=FILE))
        return 0
    words = words_of(arguments, ("episodes", "seeds"), program)
    episodes = words.fields.get("episodes", EPISODES)
    if type(episodes) is not int or episodes < 1:
        raise ConfigError(f"episodes={literal(episodes)} must be a whole number, at least 1.")
    seeds = seeds_of(words.fields["seeds"]) if "seeds" in words.fields else None
    failed = []
    for folder in words.runs:
        try:
            final = evaluate_run(folder, episodes, seeds, words.trust)
        except UserError as error:
            if len(words.runs) == 1:
                raise
            print(f"{folder}: {error}\n", file=sys.stderr)
            failed.append(str(folder))
            continue
        position = read_config(final.folder, words.trust).position(final.step)
        print_result(f"{folder}: returns of the policies after {position}\n\n{table(final)}\n")
    if failed:
        count = f"{len(failed)} of {len(words.runs)}"
        print(f"{count} runs were not evaluated: {', '.join(failed)}", file=sys.stderr)
    return int(bool(failed))


def table(final: FinalEvaluation) -> str:
    """Return a Markdown table with a row for each seed; intervals are bootstrapped over episodes."""
    rows = []
    for seed, returns, lengths in zip(
        final.seeds, final.episodes.returns, final.episodes.lengths, strict=True
    ):
        middle = estimate(iqm, [returns])
        spread = "-" if len(returns) < 2 else f"{middle.low:.1f} to {middle.high:.1f}"
        numbers = f"{returns.mean():.1f}", f"{middle.value:.1f}", spread, f"{lengths.mean():.0f}"
        rows.append((f"{seed}", f"{len(returns):,}", *numbers))
    return markdown.table(_HEADER, rows)
