"""The verbs of the command line: `cocoa <verb> ...`, where `train` may be left out."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from cocoa.config.program import program
from cocoa.errors import ConfigError


@dataclass(frozen=True)
class Verb:
    """What the command line can do."""

    function: str
    """`module:name` of `function(arguments, program) -> exit status`, imported when the verb is used.

    `arguments` are those after the verb, and `program` is the command that a help text names.
    """
    usage: str
    """What stands after the verb, as short as `--help` shows it."""
    about: str
    """One short line for `--help`."""


VERBS = {
    "train": Verb("cocoa.cli.train:train", "[field=value ...]", "train (the default verb: leave it out)"),
    "resume": Verb("cocoa.cli.train:resume", "<run> [updates=...]", "go on where a run stopped, or longer"),
    "status": Verb("cocoa.cli.status:run", "<study>", "how far the runs of a study are"),
    "evaluate": Verb(
        "cocoa.cli.evaluate:run", "<runs> [episodes=...]", "play many episodes of last policies"
    ),
    "select": Verb(
        "cocoa.cli.select:run", "<runs> [field=value ...]", "rank policies without an environment"
    ),
    "tune": Verb("cocoa.cli.tune:run", "study=<name> <ranges>", "search for hyperparameters"),
    "report": Verb(
        "cocoa.report.__main__:main",
        "<folders> [--out <folder>]",
        "compare finished runs: a page, tables and figures",
    ),
    "export": Verb(
        "cocoa.cli.export:run", "<run> <file> [seed=...]", "write a policy as StableHLO or ONNX, in one file"
    ),
    "dashboard": Verb("cocoa.cli.dashboard:run", "<project>", "a W&B workspace and report of a project"),
    "data": Verb(
        "cocoa.cli.data:run", "list | inspect <dataset>", "the known datasets; what is in a dataset"
    ),
    "collect": Verb("cocoa.cli.collect:run", "env=<id> [field=value ...]", "make datasets of an environment"),
}
"""The verbs by name, in the order in which `--help` lists them."""


def run(arguments: Sequence[str]) -> int:
    """Do what the arguments ask for and return the exit status. Raises a UserError for a mistake."""
    first = arguments[0] if arguments else ""
    if first in VERBS:
        return _function(first)(arguments[1:], f"{program()} {first}")
    if "=" not in first and (near := get_close_matches(first, VERBS, n=1)):
        raise ConfigError(f"{first!r} is no verb. Do you mean {near[0]}?")
    return _function("train")(arguments, program())


def _function(verb: str) -> Callable[[Sequence[str], str], int]:
    return pkgutil.resolve_name(VERBS[verb].function)


def rows() -> Iterator[tuple[str, str]]:
    """Yield the two columns in which `--help` lists the verbs."""
    for name, verb in VERBS.items():
        yield f"{name} {verb.usage}", verb.about
