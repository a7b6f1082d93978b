"""`cocoa tune`: search for hyperparameters."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from cocoa.cli.arguments import check_surroundings, import_from_here
from cocoa.config.program import Parser
from cocoa.config.typed import document, literal
from cocoa.errors import ConfigError
from cocoa.extras import require
from cocoa.runs.terminal import print_result

_ABOUT = (
    "Search for hyperparameters. The same command goes on; started twice, it works on two trials at once."
)
_EXAMPLE = """\
ranges: algo.expectile=interval(0.5,0.99)   algo.temperature=choice(1,3,10)   batch_size=range(64,257,64)
        'algo.learning_rate=tag(log,interval(1e-5,1e-3))'

example: {program} study=first algo=iql +cocoa seeds=4 'algo.expectile=interval(0.5,0.99)'

fields of the search:
{fields}"""


def run(arguments: Sequence[str], program: str) -> int:
    """Search, or print the results of a search, and return the exit status: 1 if no trial has a value."""
    require("tuning", "cocoa tune")
    options = _parse(arguments, program)
    check_surroundings(options.words)
    import_from_here(options.words, trust=False)
    from cocoa.tuning.results import report
    from cocoa.tuning.trials import best_of, read_trials

    study = options.show
    if study is None:
        from cocoa.tuning.plan import make_plan
        from cocoa.tuning.tune import tune

        plan = make_plan(options.words)
        study = plan.study
        tune(plan)
    elif options.words:
        raise ConfigError(f"{options.words[0]} has no effect with --show, which looks at what is there.")
    print_result(report(study))
    return int(best_of(read_trials(study)) is None)


def _parse(arguments: Sequence[str], program: str) -> argparse.Namespace:
    from cocoa.tuning.plan import Options  # imports Optuna

    texts = document(Options)
    rows = [f"  {f'{x.name}={literal(x.default)}':<18}{texts[x.name]}" for x in fields(Options)]
    epilog = _EXAMPLE.format(program=program, fields="\n".join(rows))
    raw = argparse.RawDescriptionHelpFormatter
    parser = Parser(prog=program, description=_ABOUT, epilog=epilog, formatter_class=raw)
    parser.add_argument("words", nargs="*", metavar="field=value", help="as for a run, with ranges")
    parser.add_argument("--show", type=Path, metavar="STUDY", help="print the results of a search")
    return parser.parse_intermixed_args(arguments)
