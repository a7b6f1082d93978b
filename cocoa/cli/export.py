"""`cocoa export`: the policy of a run as one file that needs neither the run nor this project."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cocoa.cli.arguments import check_surroundings, import_from_here
from cocoa.config.program import Parser
from cocoa.errors import ConfigError
from cocoa.export.files import check_name
from cocoa.runs.policy import load_policy
from cocoa.runs.terminal import print_result


def run(arguments: Sequence[str], program: str) -> int:
    """Do what the arguments after `export` ask for and return the exit status.

    The help names the command `program`. Raises a UserError for a mistake of the user.
    """
    about = "Write the policy of a run to one file that needs neither the run nor this project."
    parser = Parser(prog=program, description=about)
    parser.add_argument("run", help="the run's folder")
    parser.add_argument("file", type=Path, help="ends in .stablehlo (loads with JAX) or .onnx (onnxruntime)")
    parser.add_argument("seed", nargs="?", help="seed=<seed>: of which seed; the run's first one by default")
    parser.add_argument("--trust", action="store_true", help="import modules that the configuration names")
    options = parser.parse_args(arguments)
    check_surroundings(arguments)
    import_from_here(arguments, options.trust)
    check_name(options.file)
    policy = load_policy(options.run, _seed(options.seed), options.trust)
    policy.export(options.file)
    size = options.file.stat().st_size
    print_result(
        f"{options.file}: seed {policy.seed} of {policy.folder}, {size / 1e6:.2f} MB. What it is stands in "
        f"{options.file}.json."
    )
    return 0


def _seed(text: str | None) -> int | None:
    """Return the seed of seed=<seed>. Raises ConfigError for anything else."""
    if text is None:
        return None
    name, _, value = text.partition("=")
    if name != "seed" or not value.isdecimal():
        raise ConfigError(f"{text} is not seed=<seed>, as in seed=3.")
    return int(value)
