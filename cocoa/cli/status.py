"""`cocoa status <study>`: how far its runs are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cocoa.config.program import Parser
from cocoa.errors import RunError
from cocoa.runs.terminal import print_result
from cocoa.studies.plan import read_plan, unplanned
from cocoa.studies.table import table


def run(arguments: Sequence[str], program: str) -> int:
    """Print the table of a study's runs for the arguments after `status` and return the exit status."""
    about = "Show how far the runs of a study are."
    parser = Parser(prog=program, description=about)
    parser.add_argument("study", type=Path, help="the study's folder, as in runs/first")
    study = parser.parse_args(arguments).study
    runs = [*read_plan(study), *unplanned(study)]
    if not runs:
        raise RunError(f"There is no run of a study in {study}. Name a study's folder: {program} runs/first")
    print_result(table(study, runs))
    return 0
