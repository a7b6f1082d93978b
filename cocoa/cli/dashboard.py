"""`cocoa dashboard`: a W&B workspace and a report that compare plain runs with +COCOA."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from cocoa.errors import ConfigError
from cocoa.extras import require
from cocoa.runs.terminal import print_result
from cocoa.storage.files import atomic_write, write_error

_USAGE = """\
Save a workspace and a report to a W&B project, in which plain runs and those with +COCOA are compared.

Usage: {program} [<entity>/]<project> [datasets ...] [--spec <file>]

  {program} my-team/cocoa
  {program} cocoa hopper-medium-v2 walker2d-medium-v2

Without datasets the report has those of the project's runs. --spec writes what would be saved to a JSON file,
without a server; it needs the datasets."""


def run(arguments: Sequence[str], program: str) -> int:
    """Save the dashboard that the arguments after `dashboard` name, or write its specification.

    Returns the exit status; raises a UserError for a mistake of the user.
    """
    words = list(arguments)
    if not words or {"-h", "--help"} & {*words}:
        print_result(_USAGE.format(program=program))
        return 0
    spec = _spec(words)
    entity, _, project = words[0].rpartition("/") if words else ("", "", "")
    if not project or "=" in project or any(word.startswith("-") for word in words):
        raise ConfigError(f"{program} takes the name of a W&B project: {program} [<entity>/]<project>")
    require("dashboard", "cocoa dashboard")
    if spec is None:
        from cocoa.dashboard import server  # slow to import

        print_result("\n".join(server.save(entity, project, words[1:])))
        return 0
    if not words[1:]:
        raise ConfigError(f"--spec asks no server: name the datasets, as in {words[0]} hopper-medium-v2.")
    from cocoa.dashboard.views import specifications

    text = json.dumps(specifications(entity or "entity", project, words[1:]), indent=2)
    try:
        atomic_write(spec, f"{text}\n".encode())
    except OSError as error:
        raise write_error(spec, error) from error
    print_result(f"Written: {spec}")
    return 0


def _spec(words: list[str]) -> Path | None:
    """Take `--spec <file>` out of the words and return the file."""
    if "--spec" not in words:
        return None
    at = words.index("--spec")
    if len(words) == at + 1:
        raise ConfigError("--spec needs the file to write.")
    path = Path(words.pop(at + 1))
    if not path.parent.is_dir():
        raise ConfigError(f"{path} cannot be written: there is no folder {path.parent}.")
    words.pop(at)
    return path
