"""`cocoa collect`: datasets that are made by training a policy in an environment."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from cocoa.algos.sac import SAC
from cocoa.cli.arguments import check_surroundings, import_from_here
from cocoa.collection.settings import Collection, collection
from cocoa.config.compose import parse
from cocoa.config.help import screen_width, table
from cocoa.config.typed import document, leaves, literal
from cocoa.errors import ConfigError
from cocoa.runs.terminal import print_result

_USAGE = """\
Make D4RL-like datasets of an environment: train SAC in it, and record its policies and its steps.

Usage: {program} env=<Gymnasium id> [field=value ...]

  {program} env=HalfCheetah-v5                             six sets of up to a million steps
  {program} env=Pendulum-v1 steps=20000 transitions=10000  small ones
  {program} env=Hopper-v5 sets=[medium,expert] seeds=4     two sets of each of the seeds 0, 1, 2, 3

The same command goes on where it was stopped, and makes only what is not there yet."""


def run(arguments: Sequence[str], program: str) -> int:
    """Do what the arguments after `collect` ask for and return the exit status.

    The help names the command `program`. Raises a UserError for a mistake of the user.
    """
    check_surroundings(arguments)
    import_from_here(arguments, trust=False)
    print_result(_result(arguments, program))
    return 0


def _result(arguments: Sequence[str], program: str) -> str:
    """Return the help, or collect and return what came of it."""
    if not arguments or {"-h", "--help"} & {*arguments}:
        usage = _USAGE.format(program=program)
        return f"{usage}\n\n{table('Fields:', _fields(), screen_width())}"
    for word in arguments:
        if word.startswith("-"):
            raise ConfigError(f"Unknown flag {word}: {program} --help lists the fields.")
    values = {override.key_or_group: _value(override) for override in parse(arguments)}
    settings = collection(values)
    from cocoa.collection import launch  # slow to import

    return f"{launch.run(settings)}"


def _value(override: Any) -> Any:
    """Return the value of an override; several with commas are a list."""
    value = override.value()
    return list(value.list) if override.is_choice_sweep() else value


def _fields() -> Iterator[tuple[str, str]]:
    """Yield `name=default` and the documentation of each field."""
    texts = document(Collection) | {f"algo.{name}": text for name, text in document(SAC).items()}
    for name, value in leaves(asdict(Collection())):
        yield f"{name}={literal(value)}", texts.get(name, "")
